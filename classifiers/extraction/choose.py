"""Choose the blocks that make the expected F1 of a page largest, from integer scores and a table of probabilities.

If block i is main content with probability p and has w words, a choice has the expected F-score

    (1 + b^2) * sum of p*w over the chosen  /  (sum of w over the chosen + b^2 * sum of p*w over all)

(as a ratio of expectations), which is largest for the blocks above some probability: one sort and one cumulative sum.
With b = 1 it is F1; below 1 precision counts more, above 1 recall. All sums are integers; a block costs one division.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 16  # a probability of 1 in the table
_LIKELY = 3  # a block is likely at a third of the probability of the least probable chosen one


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which blocks are main content, and how good the choice is expected to be."""

    chosen: NDArray[np.bool_]
    likely: NDArray[np.bool_]  # the chosen blocks, and those that other evidence than the model's may add
    expected_f1: float
    kept_share: float  # of the page's words


def look_up(scores: NDArray[np.int32], table: NDArray[np.int32], step: int) -> NDArray[np.int64]:
    """Probabilities in 1/65536: entry i of the table is for scores from (i - len / 2) * step on."""
    place = np.clip(scores // step + len(table) // 2, 0, len(table) - 1)
    return table[place].astype(np.int64)


def smooth_scores(scores: NDArray[np.int32], paths: NDArray[np.int32]) -> NDArray[np.int32]:
    """Half way to the mean of the blocks that are built alike: items of a list belong together.

    F1 on 409 pages of own gold rises from .874 to .879, on WCXB by .001.
    """
    if not len(scores):
        return scores
    sums = np.zeros(int(paths.max()) + 1, dtype=np.int64)
    np.add.at(sums, paths, scores)
    means = sums // np.maximum(np.bincount(paths), 1)
    return ((scores + means[paths]) // 2).astype(np.int32)


def choose_blocks(probabilities: NDArray[np.int64], sizes: NDArray[Any], recall_weight: float = 1.0) -> Choice:
    """The best choice; `recall_weight` is b^2 of the F-score."""
    chosen = np.zeros(len(sizes), dtype=bool)
    sizes = sizes.astype(np.int64)
    total = int((probabilities * sizes).sum())
    if not total:
        return Choice(chosen, chosen, 0.0, 0.0)
    order = np.argsort(-probabilities, kind="stable")
    found = np.cumsum((probabilities * sizes)[order])
    taken = np.cumsum(sizes[order]) * ONE
    values = (1 + recall_weight) * found / (taken + recall_weight * total)
    last = int(values.argmax())
    chosen[order[: last + 1]] = True
    likely = _LIKELY * probabilities >= probabilities[order[last]]
    expected_f1 = 2 * int(found[last]) / (int(taken[last]) + total)
    kept_share = int(taken[last]) / ONE / int(sizes.sum())
    return Choice(chosen, likely, expected_f1, kept_share)
