"""The harm model: calibrated probability that a text is harmful or adult, beyond what host and word lists find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from classifiers.artifacts import Artifact, default_folder, load_artifact
from classifiers.estimators.features import FEATURE_VERSION, topic_words
from classifiers.estimators.linear import LinearModel
from classifiers.estimators.logistic import log_odds_of, sigmoid

NAME = "harm"
HARM_LABELS = ("harmless", "harmful")


class HarmModel:
    """Computes P(harmful or adult) of texts (`score`)."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.threshold = artifact.manifest.threshold[NAME]
        calibration = artifact.manifest.calibration
        self._slope, self._offset = float(calibration["slope"]), float(calibration["offset"])
        self._model = LinearModel.load(artifact.path("words.txt"), artifact.path("weights.npy"), HARM_LABELS)

    def score(self, texts: Sequence[str]) -> list[float]:
        """One calibrated probability per text; a text without words gets 0."""
        if not texts:
            return []
        words = [topic_words(text) for text in texts]
        log_odds = log_odds_of(self._model.probabilities(words)[:, 1])
        scores = sigmoid(self._slope * log_odds + self._offset)
        return [round(float(score), 6) if any(parts) else 0.0 for score, parts in zip(scores, words, strict=True)]


@cache
def _load(folder: Path) -> HarmModel:
    return HarmModel(load_artifact(folder, NAME, FEATURE_VERSION))


def load_harm_model(folder: Path | None = None) -> HarmModel:
    """The shipped model or the one in `folder`, verified; loaded once per process."""
    return _load(folder or default_folder(NAME))
