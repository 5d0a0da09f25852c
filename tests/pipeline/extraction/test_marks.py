"""Each mark replaces one character of white space."""

from __future__ import annotations

from pipeline.extraction.marks import MARKS, NEWLINE, SPACE, TAB, protect_white_space


def test_significant_white_space_is_marked_without_changing_the_length() -> None:
    text = "if x:\n    y = 1\n\tz"
    protected = protect_white_space(text)
    assert protected == f"if x:{NEWLINE}{SPACE * 4}y = 1{NEWLINE}{TAB}z"
    assert len(protected) == len(text)
    assert MARKS.sub("", protected) == "if x:y = 1z"
