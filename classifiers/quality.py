"""The quality model: calibrated probability that a page resembles pages that Wikipedia cites."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from classifiers.artifacts import MANIFEST, default_folder, load_artifact
from classifiers.estimators.binary_scorer import BinaryScorer
from classifiers.estimators.external_scorer import (
    FASTTEXT_ENDINGS,
    HUGGING_FACE_CONFIG,
    FastTextScorer,
    HuggingFaceScorer,
    TextScorer,
)
from classifiers.estimators.features import FEATURE_VERSION

NAME = "quality"


@cache
def _load(folder: Path) -> BinaryScorer:
    return BinaryScorer(load_artifact(folder, NAME, FEATURE_VERSION))


def load_quality_model(folder: Path | None = None) -> BinaryScorer:
    """The shipped model or the one in `folder`, verified; loaded once per process. `model.score(texts)`."""
    return _load(folder or default_folder(NAME))


def load_quality_scorer(
    path: Path, label: str | None, max_tokens: int, output_range: tuple[float, float]
) -> BinaryScorer | TextScorer:
    """The model at `path`: a fastText file, a Hugging Face folder, or a model of this project."""
    if path.suffix in FASTTEXT_ENDINGS and path.is_file():
        return FastTextScorer(path, label)
    if (path / HUGGING_FACE_CONFIG).is_file() and not (path / MANIFEST).is_file():
        return HuggingFaceScorer(path, label, max_tokens, output_range)
    return load_quality_model(path)
