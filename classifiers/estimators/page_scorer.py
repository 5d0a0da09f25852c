"""The model of quality and of education value: views of a page, joined by a layer into a score from 0 to 1.

    score = sigmoid(layer(statistics of the text, length, log-odds of linear models on its words, ...))

There are two layers: `page` for pages whose extraction left signals (type, expected F1, share kept, structures), `text`
for texts of which nothing else is known. That one reads the shape of the text and the log-odds of the kinds of source,
which a linear model on words guesses, and is additive: the signals say the same and better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from classifiers.artifacts import Artifact
from classifiers.estimators.additive import Additive
from classifiers.estimators.features import SHAPE, STATISTICS, shape, statistics, style_counts
from classifiers.estimators.linear import LinearModel
from classifiers.estimators.logistic import Array, Logistic, sigmoid

WORDS, WEIGHTS, LAYER = "words.txt", "weights.npy", "layer.json"
LAYERS = {"text": "text alone", "page": "with signals of the page"}
PAGE_TYPES = 7
Signals = Mapping[str, float]
# How long a text is matters for all of its measurements: a share of function words of 0.1 means little in 20 words.
LENGTHS = ("log_length", "log_length_squared", "function_words_by_length")
SIGNALS = (
    *(f"page_type_{number}" for number in range(1, PAGE_TYPES + 1)),
    "expected_f1",
    "kept_share",
    *(f"log_{name}" for name in ("dom_nodes", "html_bytes", "text_lists", "text_tables", "text_code", "text_formulas")),
)
_CERTAIN = 12.0  # bound of a view's log-odds


@lru_cache(maxsize=1)
def text_columns(text: str) -> tuple[float, ...]:
    """STATISTICS, then LENGTHS; those of the last text are kept, because two models read them."""
    values = statistics(text).tolist()
    length = math.log(max(len(text), 1))
    return (*values, length, length * length, values[0] * length)


def signal_columns(signals: Signals) -> list[float]:
    """The values of SIGNALS."""
    kinds = [float(signals["page_type"] == number) for number in range(1, PAGE_TYPES + 1)]
    logs = [math.log1p(max(signals.get(name.removeprefix("log_"), 0.0), 0.0)) for name in SIGNALS[PAGE_TYPES + 2 :]]
    return [*kinds, signals["expected_f1"], signals["kept_share"], *logs]


def has_signals(signals: Signals | None) -> bool:
    """Whether the learned engine extracted the page: other engines leave zeros."""
    return bool(signals and signals.get("page_type"))


def bound(log_odds: Array) -> Array:
    """Log-odds of a view as the layers read them."""
    return np.clip(log_odds, -_CERTAIN, _CERTAIN)


class PageScorer:
    """Scores pages from 0 to 1."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.threshold = artifact.manifest.threshold[artifact.manifest.name]  # of scores of text alone
        stored = artifact.json(LAYER)
        self._view_count = len(stored["views"])
        labels = (*stored["views"], *stored["kinds"])
        self._words = LinearModel.load(artifact.path(WORDS), artifact.path(WEIGHTS), labels)
        self._layers = {name: _layer_of(layer) for name, layer in stored["layers"].items()}

    def score(self, texts: Sequence[str], signals: Sequence[Signals] = ()) -> list[float]:
        """One score per text, with the signals of its page where they are known; a text without words gets 0."""
        known = signals or [{}] * len(texts)
        return [self._score(text, found) for text, found in zip(texts, known, strict=True)]

    def _score(self, text: str, signals: Signals) -> float:
        counts = style_counts(text)
        if not counts:
            return 0.0
        found = bound(self._words.logits([[counts]])[0]).tolist()
        if has_signals(signals) and "page" in self._layers:
            name, columns = "page", [*text_columns(text), *found[: self._view_count], *signal_columns(signals)]
        else:
            name, columns = "text", [*text_columns(text), *shape(text), *found]
        return round(float(sigmoid(np.array([self._layers[name].log_odds_of_row(columns)]))[0]), 6)


def threshold_name(model: str, layer: str) -> str:
    """The manifest's name of a layer's threshold: quality; quality with signals of the page."""
    return model if layer == "text" else f"{model} {LAYERS[layer]}"


def _layer_of(stored: Mapping[str, Any]) -> Additive | Logistic:
    return Additive.of_json(stored) if "cuts" in stored else Logistic.of_json(stored)


def columns_of(layer: str, views: Sequence[str], kinds: Sequence[str] = ()) -> list[str]:
    """Names of a layer's columns, in order."""
    words = [f"view_{view}" for view in views]
    if layer == "page":
        return [*STATISTICS, *LENGTHS, *words, *SIGNALS]
    return [*STATISTICS, *LENGTHS, *SHAPE, *words, *(f"kind_{kind}" for kind in kinds)]
