"""The two-step binary model of quality: fastText on the words, then a logistic layer with text statistics.

P(yes) = sigmoid(slope * layer(statistics, log-odds of fastText) + offset)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifiers.artifacts import Artifact
from classifiers.estimators.fasttext_model import FastTextModel
from classifiers.estimators.features import statistics_table, style_line
from classifiers.estimators.logistic import Array, Logistic, log_odds_of, sigmoid

FASTTEXT = "model.ftz"
LAYER = "layer.json"


def layer_input(texts: Sequence[str], fasttext_probability: Array) -> Array:
    """Input of the logistic layer, one row per text: STATISTICS, then fastText's log-odds."""
    return np.hstack([statistics_table(texts), log_odds_of(fasttext_probability)[:, None]])


class BinaryScorer:
    """Calibrated P(yes) of a text; `yes` is the second label of the manifest."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        head = artifact.manifest.name
        self.threshold = artifact.manifest.threshold[head]
        self._fasttext = FastTextModel(artifact.path(FASTTEXT), artifact.manifest.labels[head])
        stored = artifact.json(LAYER)
        self._layer = Logistic(tuple(stored["mean"]), tuple(stored["scale"]), tuple(stored["weights"]), stored["bias"])
        self._slope, self._offset = stored["slope"], stored["offset"]

    def score(self, texts: Sequence[str]) -> list[float]:
        """One calibrated probability per text; a text without words gets 0."""
        if not texts:
            return []
        lines = [style_line(text) for text in texts]
        words = self._fasttext.probabilities(lines)[:, 1]
        log_odds = self._layer.log_odds(layer_input(texts, words))
        scores = sigmoid(self._slope * log_odds + self._offset)
        return [round(float(score), 6) if line else 0.0 for score, line in zip(scores, lines, strict=True)]
