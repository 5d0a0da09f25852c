"""Choose the blocks that make the expected F1 of a page largest, from integer scores and a table of probabilities.

If block i is main content with probability p and has w words, a choice has the expected F-score

    (1 + b^2) * sum of p*w over the chosen  /  (sum of w over the chosen + b^2 * sum of p*w over all)

(as a ratio of expectations), which is largest for the blocks above some probability: one sort and one cumulative sum.
With b = 1 it is F1; below 1 precision counts more, above 1 recall. All sums are integers; a block costs one division.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.extraction.blocks import TAG_NUMBER, PageBlocks

ONE = 1 << 16  # a probability of 1 in the table
_LIKELY = 3  # a block is likely at a third of the probability of the least probable chosen one
# Where no block is as probable as this, a page has nothing to read: an error, a login, a list that a script would fill.
_LEAST = ONE // 5
_FIRST_HEADING, _LAST_HEADING = TAG_NUMBER["h1"], TAG_NUMBER["h6"]
_LONGEST_RUN = 4  # equal blocks in a row; more are spam, and stay for the rules against repetition
_MAY_REPEAT = frozenset(TAG_NUMBER[tag] for tag in ("li", "td", "th", "dt", "dd", "pre", "label", "button", "caption"))
_WORD = re.compile(r"[^\W\d_]{2}")


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
    """The best choice, which is nothing where no block is probable; `recall_weight` is b^2 of the F-score."""
    chosen = np.zeros(len(sizes), dtype=bool)
    sizes = sizes.astype(np.int64)
    total = int((probabilities * sizes).sum())
    if not total or int(probabilities.max()) < _LEAST:
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


def drop_repeats(choice: Choice, blocks: PageBlocks, sizes: NDArray[Any]) -> Choice:
    """Without blocks that say what the chosen block before them says: pages have lines for phones and for screens.

    Items, cells, code and numbers may be equal. F1 on WCXB rises by .0006, on listings by .002.
    """
    chosen = choice.chosen.copy()
    texts = blocks.texts
    if blocks.copies[chosen].any():
        for text, run in groupby(np.flatnonzero(chosen).tolist(), key=texts.__getitem__):
            _, *others = run
            if 0 < len(others) < _LONGEST_RUN and _WORD.search(text):
                for block in others:
                    chosen[block] = int(blocks.tags[blocks.elements[block]]) in _MAY_REPEAT
    return _with_chosen(choice, chosen, sizes)


def drop_last_headings(choice: Choice, blocks: PageBlocks, sizes: NDArray[Any]) -> Choice:
    """Without the headings at the end of the choice whose sections were left out ("Related posts", "Your review").

    Links are titles of other pages, and stay. Of 354 pages that were read 14 ended so; F1 on WCXB rises by .0001.
    """
    chosen = choice.chosen.copy()
    tags = blocks.tags[blocks.elements]
    for block in np.flatnonzero(chosen)[:0:-1].tolist():
        tag = int(tags[block])
        following = int(tags[block + 1]) if block + 1 < len(tags) else _FIRST_HEADING
        has_section = not _FIRST_HEADING <= following <= tag
        is_link = 2 * int(blocks.linked[block]) > len(blocks.texts[block])
        if not (_FIRST_HEADING <= tag <= _LAST_HEADING and has_section) or is_link:
            break
        chosen[block] = False
    return _with_chosen(choice, chosen, sizes)


def _with_chosen(choice: Choice, chosen: NDArray[np.bool_], sizes: NDArray[Any]) -> Choice:
    return replace(choice, chosen=chosen, kept_share=int(sizes[chosen].sum()) / max(int(sizes.sum()), 1))
