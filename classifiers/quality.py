"""The quality model: calibrated probability that a page resembles pages that Wikipedia cites."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from classifiers.artifacts import default_folder, load_artifact
from classifiers.estimators.binary_scorer import BinaryScorer
from classifiers.estimators.features import FEATURE_VERSION

NAME = "quality"


@cache
def _load(folder: Path) -> BinaryScorer:
    return BinaryScorer(load_artifact(folder, NAME, FEATURE_VERSION))


def load_quality_model(folder: Path | None = None) -> BinaryScorer:
    """The shipped model or the one in `folder`, verified; loaded once per process. `model.score(texts)`."""
    return _load(folder or default_folder(NAME))
