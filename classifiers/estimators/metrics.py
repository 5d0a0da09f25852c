"""AUC, calibration and F1 in NumPy; the tests compare them with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, ties count half; NaN if a class is empty."""
    yes = np.asarray(truth, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    positives, negatives = int(yes.sum()), int((~yes).sum())
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # mean rank of each distinct value
    return float((ranks[inverse][yes].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def spearman(truth: ArrayLike, scores: ArrayLike) -> float:
    """Correlation of the ranks, ties with their mean rank."""
    ranks = np.array([_mean_ranks(truth), _mean_ranks(scores)])
    return float(np.corrcoef(ranks)[0, 1])


def _mean_ranks(values: ArrayLike) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def auc_interval(truth: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """95% bootstrap interval of the AUC, from a fixed seed."""
    return bootstrap_interval(auc, truth, scores)


def bootstrap_interval(
    measure: Callable[[ArrayLike, ArrayLike], float],
    truth: ArrayLike,
    scores: ArrayLike,
    rounds: int = 500,
    groups: ArrayLike | None = None,
) -> tuple[float, float]:
    """95% bootstrap interval of a measure, from a fixed seed.

    Draws whole `groups` where they are given, such as the pages of a domain, which are alike.
    """
    yes, values = np.asarray(truth), np.asarray(scores)
    _, place = np.unique(np.arange(len(yes)) if groups is None else groups, return_inverse=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    random, found = np.random.default_rng(0), []
    for _ in range(rounds):
        drawn = random.integers(0, len(members), len(members))
        index = drawn if groups is None else np.concatenate([members[number] for number in drawn])
        found.append(measure(yes[index], values[index]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def reliability(truth: ArrayLike, scores: ArrayLike, bins: int = 10) -> list[dict[str, float]]:
    """Reliability table: for each tenth of the scale the rows, their mean score and the mean of the truth."""
    yes, values = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    place = np.minimum((values * bins).astype(int), bins - 1)
    return [
        {
            "from": round(number / bins, 2),
            "rows": int((place == number).sum()),
            "score": round(float(values[place == number].mean()), 3),
            "truth": round(float(yes[place == number].mean()), 3),
        }
        for number in range(bins)
        if (place == number).any()
    ]


def calibration_error(truth: ArrayLike, scores: ArrayLike, bins: int = 10) -> float:
    """Mean distance between score and truth over the bins, weighted by rows (expected calibration error)."""
    table = reliability(truth, scores, bins)
    rows = sum(entry["rows"] for entry in table)
    return sum(entry["rows"] * abs(entry["score"] - entry["truth"]) for entry in table) / max(rows, 1)


def confusion(truth: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Confusion matrix: rows are the truth, columns the predictions, in the order of `labels`."""
    column = {label: number for number, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for true, answer in zip(truth, answers, strict=True):
        table[column[true], column[answer]] += 1
    return table


def f1_by_label(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each label of a confusion matrix; NaN for a label that is neither true nor predicted anywhere."""
    both, total = np.diag(table), table.sum(axis=0) + table.sum(axis=1)
    return np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan)


def macro_f1(table: NDArray[np.int64], columns: Sequence[int] | None = None) -> float:
    """Mean F1 over the labels that have true rows (or over `columns`)."""
    chosen = np.flatnonzero(table.sum(axis=1)) if columns is None else np.asarray(columns)
    return float(np.nanmean(f1_by_label(table)[chosen]))


def length_bins(lengths: ArrayLike, edges: Sequence[int]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(name, mask) of the rows between one edge and the next."""
    values = np.asarray(lengths)
    limits: list[Any] = [0, *edges, None]
    return [
        (
            f"{low}-{high if high is not None else ''}",
            (values >= low) & (values < (high if high is not None else np.inf)),
        )
        for low, high in pairwise(limits)
    ]
