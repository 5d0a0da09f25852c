"""The education model: what a teacher could use, from 0 (nothing) to 5 (made to teach)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from classifiers.artifacts import default_folder, load_artifact
from classifiers.estimators.features import FEATURE_VERSION
from classifiers.estimators.page_scorer import PageScorer, Signals

NAME = "education"
HIGHEST = 5


class EducationModel:
    """Scores pages from 0 to 5."""

    def __init__(self, scorer: PageScorer) -> None:
        self.artifact = scorer.artifact
        self._scorer = scorer

    def score(self, texts: Sequence[str], signals: Sequence[Signals] = ()) -> list[float]:
        """One score per text, with the signals of its page where they are known; a text without words gets 0."""
        return [round(HIGHEST * share, 5) for share in self._scorer.score(texts, signals)]


@cache
def _load(folder: Path) -> EducationModel:
    return EducationModel(PageScorer(load_artifact(folder, NAME, FEATURE_VERSION)))


def load_education_model(folder: Path | None = None) -> EducationModel:
    """The shipped model or the one in `folder`, verified; loaded once per process."""
    return _load(folder or default_folder(NAME))
