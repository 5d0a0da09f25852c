"""Lines in capitals, against their definition asked of every character."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.heuristics.refinedweb import RefinedWebSettings, _is_upper_case

CHARACTERS = st.sampled_from("ABCDEFGHIJKÄÖÜПРИВЕТabcäпр 1.,!’漢\ud800")


@given(st.text(CHARACTERS, max_size=260), st.sampled_from([None, 0.0, 0.5, 0.9]))
def test_lines_in_capitals(line: str, limit: float | None) -> None:
    beginning = line[:200]
    capitals, letters = sum(map(str.isupper, beginning)), sum(map(str.isalpha, beginning))
    expected = limit is not None and capitals >= 8 and capitals > limit * letters
    assert _is_upper_case(line, RefinedWebSettings(max_upper_case=limit)) == expected
