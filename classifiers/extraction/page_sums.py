"""What several families of features share: counts of each block, sums inside each element, folds over ancestors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.extraction.blocks import BLOCK_TAGS, TAG_NUMBER, TIME, PageBlocks
from classifiers.extraction.characters import STOP, WORD, CharacterCounts, count_characters

Array = NDArray[Any]

# Columns of the sums.
SIZE, LINKED, PROSE, BLOCKS, SENTENCES, LINKS, IMAGES, TIMES, HEADINGS, DIGITS = range(10)
_COLUMNS = 10
_PROSE_SIZE = 10 * WORD  # of a block that reads like prose
IS_HEADING = np.isin(np.arange(len(BLOCK_TAGS)), [TAG_NUMBER[f"h{level}"] for level in range(1, 7)])


def share(part: Array, whole: Array | int) -> Array:
    """A ratio of counts: one division, so equal on every machine."""
    return np.asarray(part / np.maximum(whole, 1))


@dataclass(frozen=True, eq=False)
class PageSums:
    """Columns over blocks, and over elements with one row more, which stands for "no element"."""

    blocks: PageBlocks
    counts: CharacterCounts
    link_share: Array  # of each block
    prose: Array  # whether a block reads like prose
    sums: Array  # cumulative, (blocks + 1) x columns
    inside: Array  # of each element, (elements + 1) x columns
    parents: Array  # of each element
    tags: Array
    own: Array  # element of each block

    @cached_property
    def size(self) -> int:
        """Of all text, at least 1."""
        return max(int(self.sums[-1, SIZE]), 1)

    @cached_property
    def before(self) -> Array:
        """Size of the text before each block."""
        return self.sums[:-1, SIZE]

    @cached_property
    def numbers(self) -> Array:
        """0, 1, 2, ... for each block."""
        return np.arange(len(self.own))

    @cached_property
    def _strides(self) -> list[Array]:
        """Ancestors at distances 1, 2, 4, ... until the root."""
        depth = int(self.blocks.depths.max(initial=1))
        strides = [self.parents]
        while 1 << len(strides) <= depth:
            strides.append(strides[-1][strides[-1]])
        return strides

    def range_of(self, element: int) -> tuple[int, int]:
        """First block of an element and the first after it; "no element" has all."""
        if element == len(self.blocks.parents):
            return 0, len(self.own)
        return int(self.blocks.firsts[element]), int(self.blocks.lasts[element])

    def fold(self, values: Array, operation: Callable[[Array, Array], Array]) -> Array:
        """`operation` over each element and its ancestors, by doubling the distance."""
        for above in self._strides:
            values = operation(values, values[above])
        return values


def sum_page(blocks: PageBlocks) -> PageSums:
    """`blocks` has at least one block."""
    counts = count_characters(blocks.texts)
    elements = len(blocks.parents)
    parents = np.append(blocks.parents, -1).astype(np.int64)
    parents[parents < 0] = elements
    own = blocks.elements.astype(np.int64)
    tags = np.append(blocks.tags, 0)
    linked = np.minimum(blocks.linked, counts.length).astype(np.int64)
    prose = (counts.size >= _PROSE_SIZE) & (5 * linked < 2 * counts.length)
    prose &= (counts.sentences > 0) | (counts.last == STOP)
    columns = np.empty((len(own), _COLUMNS), dtype=np.int64)
    columns[:, SIZE] = counts.size
    columns[:, LINKED] = counts.size * linked // np.maximum(counts.length, 1)
    columns[:, PROSE] = counts.size * prose
    columns[:, BLOCKS] = 1
    columns[:, SENTENCES] = counts.sentences
    columns[:, LINKS] = blocks.links
    columns[:, IMAGES] = blocks.images
    columns[:, TIMES] = (blocks.marks & TIME) > 0
    columns[:, DIGITS] = counts.digits
    columns[:, HEADINGS] = IS_HEADING[tags[own]]
    sums = np.zeros((len(own) + 1, _COLUMNS), dtype=np.int64)
    np.cumsum(columns, axis=0, out=sums[1:])
    inside = np.zeros((elements + 1, _COLUMNS), dtype=np.int64)
    inside[:-1] = sums[blocks.lasts] - sums[blocks.firsts]
    return PageSums(blocks, counts, share(linked, counts.length), prose, sums, inside, parents, tags, own)
