"""Ranges that are fetched by one request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.ranges import GAP, coalesce


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 500)), max_size=30), st.integers(0, 100))
def test_joined_ranges_hold_every_range_once_and_no_larger_gap(places: list[tuple[int, int]], gap: int) -> None:
    ranges = sorted((start, start + length) for start, length in places)
    joined = list(coalesce(ranges, gap, 2_000))
    assert [number for _, group in joined for number in group] == list(range(len(ranges)))
    for (start, end), group in joined:
        assert start == min(ranges[number][0] for number in group)
        assert end == max(ranges[number][1] for number in group)
        covered = sorted(ranges[number] for number in group)
        reach = covered[0][1]
        for first, last in covered[1:]:
            assert first - reach <= gap
            reach = max(reach, last)
        assert end - start <= 2_000 or len(group) == 1
    assert GAP < 1 << 20
