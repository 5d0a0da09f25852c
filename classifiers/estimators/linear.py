"""A multinomial logistic text model on tf-idf of words; stored as a word list and one table of half floats.

Used where labels are few: on the same rows, labels and word beginnings fastText reached a macro-F1 of .54 on topics of
unseen domains (dimension 50, 50 epochs), this model .59. Training needs scipy, scoring only NumPy.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifiers.estimators.logistic import Array
from classifiers.estimators.word_counts import Ints, Parts, Places, WordCounts

VOCABULARY = 30_000
MIN_ROWS = 2  # fewest rows in which a word of the vocabulary occurs
RIDGE = 0.05  # penalty per row on the squared weights; 1 / (2 * 20) of scikit-learn's C = 20, doubled


@dataclass(frozen=True, slots=True)
class Row:
    """One training row."""

    label: str
    counts: WordCounts
    weight: float = 1.0


class LinearModel:
    """Computes the probability of each label for texts, given as parts of their counts of words."""

    def __init__(self, words: Sequence[str], table: NDArray[np.float64], labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._places = Places(words)
        self._words = tuple(words)
        self.table = table
        self._idf, self._weights, self._bias = table[:-1, 0], table[:-1, 1:], table[-1, 1:]

    @classmethod
    def load(cls, words: Path, table: Path, labels: Sequence[str]) -> LinearModel:
        stored = np.load(table, allow_pickle=False).astype(np.float64)
        return cls(words.read_text(encoding="utf-8").split("\n")[:-1], stored, labels)

    def save(self, words: Path, table: Path) -> None:
        stored = np.zeros((len(self._words) + 1, len(self.labels) + 1), dtype=np.float16)
        stored[:-1, 0], stored[:-1, 1:], stored[-1, 1:] = self._idf, self._weights, self._bias
        words.write_text("".join(f"{word}\n" for word in self._words), encoding="utf-8")
        content = io.BytesIO()
        np.save(content, stored, allow_pickle=False)  # into a file, it says nothing of why a disk refused it
        table.write_bytes(content.getvalue())

    def probabilities(self, texts: Sequence[Parts]) -> Array:
        """Array of shape (texts, labels)."""
        logits = self.logits(texts)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)

    def logits(self, texts: Sequence[Parts]) -> Array:
        """Array of shape (texts, labels)."""
        return np.array([self._logits(parts) for parts in texts]).reshape(len(texts), len(self.labels))

    def _logits(self, parts: Parts) -> Array:
        places, values = tf_idf(parts, self._places, self._idf)
        # A sum in a fixed order, not a matrix product: the same last digit on every machine.
        return np.asarray(self._bias + (self._weights[places] * values[:, None]).sum(axis=0), dtype=np.float64)


def tf_idf(parts: Parts, words: Places, idf: Array) -> tuple[Ints, Array]:
    """(places of the known words, their values): (1 + log count) * idf, scaled to length 1."""
    places, counts = words.find(parts)
    values = _logarithms(int(counts.max(initial=0)).bit_length())[counts] * idf[places]
    return places, values / max(math.sqrt(float((values * values).sum())), 1e-12)


@cache
def _logarithms(bits: int) -> Array:
    """1 + log(i) at place i > 0, for numbers of that many bits. NumPy's last digit would depend on the machine."""
    return np.array([0.0, *(1 + math.log(number) for number in range(1, 1 << bits))])


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of a model and their inverse document frequencies, rounded as they are stored."""

    words: Sequence[str]
    idf: Array


def choose_vocabulary(rows: Sequence[Row], size: int = VOCABULARY) -> Vocabulary:
    """The words that are in the most rows."""
    frequency = Counter(word for row in rows for word in row.counts)
    common = sorted((word for word, count in frequency.items() if count >= MIN_ROWS), key=lambda w: (-frequency[w], w))
    words = sorted(common[:size])
    # Rounded as stored, so that training and scoring use the same numbers.
    idf = np.array([math.log((1 + len(rows)) / (1 + frequency[word])) + 1 for word in words])
    return Vocabulary(words, idf.astype(np.float16).astype(np.float64))


def train_views(
    views: Mapping[str, Sequence[Row]], size: int = VOCABULARY, labeled: Sequence[Row] = (), labels: Sequence[str] = ()
) -> LinearModel:
    """One column for each view: the log-odds of label 1 against label 0 of its rows. Then one for each of `labels`:
    its log-odds among the rows of `labeled`. All share the words of the views."""
    vocabulary = choose_vocabulary([row for rows in views.values() for row in rows], size)
    tables = [train_linear(rows, ("0", "1"), vocabulary).table for rows in views.values()]
    columns = [table[:, 2] - table[:, 1] for table in tables]
    if labels:
        columns += list(train_linear(labeled, labels, vocabulary).table[:, 1:].T)
    table = np.column_stack([tables[0][:, 0], *columns]).astype(np.float16).astype(np.float64)
    return LinearModel(vocabulary.words, table, (*views, *labels))


def train_linear(rows: Sequence[Row], labels: Sequence[str], vocabulary: Vocabulary | None = None) -> LinearModel:
    """Fit with balanced classes; deterministic, to half-float precision."""
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    words, idf = (found := vocabulary or choose_vocabulary(rows)).words, found.idf
    places = Places(words)
    pairs = [tf_idf([row.counts], places, idf) for row in rows]
    starts = np.cumsum([0, *(len(values) for _, values in pairs)])
    features = csr_matrix(
        (np.concatenate([v for _, v in pairs]), np.concatenate([p for p, _ in pairs]), starts), (len(rows), len(words))
    )
    truth = np.zeros((len(rows), len(labels)))
    truth[np.arange(len(rows)), [labels.index(row.label) for row in rows]] = 1
    weight = np.array([row.weight for row in rows])
    mass = truth.T @ weight
    present = int((mass > 0).sum())
    weight = weight * (truth @ (weight.sum() / np.maximum(mass, 1e-12) / present))

    def loss(flat: Array) -> tuple[float, Array]:
        table = flat.reshape(len(words) + 1, len(labels))
        logits = features @ table[:-1] + table[-1]
        logits = np.where(mass > 0, logits, -1e9)
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        total = powers.sum(axis=1, keepdims=True)
        value = float((weight * (np.log(total[:, 0]) - (logits * truth).sum(axis=1))).sum())
        error = (powers / total - truth) * weight[:, None]
        gradient = np.vstack([features.T @ error + RIDGE * table[:-1], error.sum(axis=0)])
        return value + RIDGE / 2 * float((table[:-1] ** 2).sum()), gradient.ravel()

    start = np.zeros((len(words) + 1) * len(labels))
    with threadpool_limits(1):  # more threads add in another order: two weights in 86,000 differed
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 80, "ftol": 1e-7}).x
    weights = found.reshape(len(words) + 1, len(labels))
    weights[-1, mass == 0] = -30.0  # a label without training rows is never predicted
    return LinearModel(
        words, np.hstack([np.append(idf, 0.0)[:, None], weights]).astype(np.float16).astype(float), labels
    )
