"""SVG charts of the report."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reports import charts


def test_stream_draws_every_stage_that_lost_pages() -> None:
    steps = [charts.Step("read_warc", 100, 10), charts.Step("extract_text", 90, 0), charts.Step("deduplicate", 90, 40)]
    drawn = str(charts.stream(steps, 100))
    assert drawn.count('class="loss"') == 2
    assert "−10" in drawn
    assert "−40" in drawn
    assert ">50<" in drawn
    assert str(charts.stream([], 0)) == ""


def branch_points(drawn: str) -> list[list[tuple[float, float]]]:
    """The corners of each branch: where its lines and arcs end."""
    found = []
    for path in re.findall(r'class="loss" d="([^"]+)"', drawn):
        x = y = 0.0
        corners = []
        for letter, numbers in re.findall(r"([MHVA])([-\d. ]+)", path):
            values = [float(value) for value in numbers.split()]
            x, y = {"M": values[:2], "A": values[-2:], "H": (values[0], y), "V": (x, values[0])}[letter]
            corners.append((x, y))
        found.append(corners)
    return found


@given(st.lists(st.integers(0, 1_000_000), min_size=1, max_size=11), st.integers(0, 1_000_000))
def test_branches_leave_the_stream_at_its_lower_edge_and_stay_in_their_section(losses: list[int], kept: int) -> None:
    pages = entered = sum(losses) + kept
    steps = []
    for number, lost in enumerate(losses):
        steps.append(charts.Step(f"stage_{number}", entered, lost))
        entered -= lost
    branches = branch_points(str(charts.stream(steps, pages))) if pages else []
    assert len(branches) == (sum(lost > 0 for lost in losses) if pages else 0)
    width = (1000 - 2 * 84) / len(losses)
    for (number, step), corners in zip(((n, s) for n, s in enumerate(steps) if s.lost), branches, strict=True):
        left = 84 + number * width
        top = 16 + 170 * step.left / pages
        start, curve_start, curve_end, foot, inner_foot, inner_turn, inner_start, back = corners
        assert all(left - 0.2 <= x <= left + width + 0.2 for x, _ in corners)
        assert start[1] == curve_start[1] == round(top, 1)  # the upper edge is the stream's lower one
        assert left < curve_start[0] < inner_turn[0] < foot[0]
        assert curve_end[0] == foot[0]
        assert foot[1] == inner_foot[1] > inner_turn[1] > inner_start[1] > top  # inside below outside: nothing crosses
        assert back[1] == inner_start[1]
        assert inner_start[1] - top + 0.2 >= 170 * step.lost / pages
