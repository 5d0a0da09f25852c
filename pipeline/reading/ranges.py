"""Byte ranges of a file that lie close together, joined so that one request fetches them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

GAP = 64 << 10  # bytes between two records that are fetched rather than asked for separately
LONGEST = 8 << 20  # bytes of one request
Range = tuple[int, int]  # first byte, and the one after the last


def coalesce(ranges: Sequence[Range], gap: int = GAP, longest: int = LONGEST) -> Iterator[tuple[Range, list[int]]]:
    """Sorted ranges joined where they lie close together, each with the numbers of those that it holds.

    >>> list(coalesce([(0, 10), (15, 20), (100, 110)], gap=5))
    [((0, 20), [0, 1]), ((100, 110), [2])]
    """
    first = last = 0
    group: list[int] = []
    for number, (start, end) in enumerate(ranges):
        if group and (start - last > gap or max(end, last) - first > longest):
            yield (first, last), group
            group = []
        first, last = (first, max(end, last)) if group else (start, end)
        group.append(number)
    if group:
        yield (first, last), group
