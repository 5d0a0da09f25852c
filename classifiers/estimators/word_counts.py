"""Counts of words, whose words are looked up once for all models of a process.

The loaded models number their words together, so that a word of a text is looked up once, and each model reads its
places from an array. Five tables of 25,000 to 45,000 words take most of a model's time otherwise: they do not fit the
caches of a processor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]

_numbers: dict[str, int] = {}  # of every word of every loaded model, from 1


class WordCounts(Counter[str]):
    """Words and how often they occur; not changed once a model has read them."""

    _numbered: tuple[int, Ints, Ints] = 0, np.empty(0, np.intp), np.empty(0, np.intp)

    def numbered(self) -> tuple[Ints, Ints]:
        """(number of each word, 0 for one that no model has; its count)."""
        models, numbers, counts = self._numbered
        if models != len(_numbers):  # a model was loaded since
            numbers = np.fromiter(map(_numbers.get, self, repeat(0)), np.intp, len(self))
            counts = np.fromiter(self.values(), np.intp, len(self))
            self._numbered = len(_numbers), numbers, counts
        return numbers, counts


Parts = Sequence[WordCounts]  # counts of one text whose sum a model reads


def sum_parts(parts: Parts) -> WordCounts:
    """The counts of all parts together."""
    total = WordCounts()
    for part in parts:
        total.update(part)
    return total


class Places:
    """The places of words in a list of words."""

    def __init__(self, words: Sequence[str]) -> None:
        numbers = [_numbers.setdefault(word, len(_numbers) + 1) for word in words]
        # Words of no model have the number 0, and the last entry is for those that models loaded later have.
        self._of_number = np.full(max(numbers, default=0) + 2, -1, np.intp)
        self._of_number[numbers] = np.arange(len(numbers))

    def find(self, parts: Parts) -> tuple[Ints, Ints]:
        """(places of the known words in rising order, their counts)."""
        numbered = [part.numbered() for part in parts]
        numbers, counts = (np.concatenate(arrays) for arrays in zip(*numbered, strict=True))
        every = self._of_number.take(numbers, mode="clip")
        order = np.argsort(every)[np.count_nonzero(every < 0) :]  # the unknown words come first
        places, counts = every[order], counts[order]
        if len(parts) == 1 or not len(places):
            return places, counts
        firsts = np.flatnonzero(np.diff(places, prepend=-1))
        return places[firsts], np.add.reduceat(counts, firsts)
