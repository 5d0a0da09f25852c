"""The quality model: how much a careful reader would want to keep a page, from 0 to 1, calibrated."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from classifiers.artifacts import MANIFEST, default_folder, load_artifact
from classifiers.estimators.external_scorer import (
    HUGGING_FACE_CONFIG,
    FastTextScorer,
    HuggingFaceScorer,
    TextScorer,
)
from classifiers.estimators.fasttext_model import FASTTEXT_ENDINGS
from classifiers.estimators.features import FEATURE_VERSION
from classifiers.estimators.page_scorer import PageScorer

NAME = "quality"


@cache
def _load(folder: Path) -> PageScorer:
    return PageScorer(load_artifact(folder, NAME, FEATURE_VERSION))


def load_quality_model(folder: Path | None = None) -> PageScorer:
    """The shipped model or the one in `folder`, verified; loaded once per process. `model.score(texts, signals)`."""
    return _load(folder or default_folder(NAME))


def load_quality_scorer(
    path: Path, label: str | None, max_tokens: int, output_range: tuple[float, float]
) -> PageScorer | TextScorer:
    """The model at `path`: a fastText file, a Hugging Face folder, or a model of this project."""
    if path.suffix in FASTTEXT_ENDINGS and path.is_file():
        return FastTextScorer(path, label)
    if (path / HUGGING_FACE_CONFIG).is_file() and not (path / MANIFEST).is_file():
        return HuggingFaceScorer(path, label, max_tokens, output_range)
    return load_quality_model(path)
