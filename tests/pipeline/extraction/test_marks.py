"""Marks replace white space one character for one."""

from __future__ import annotations

from pipeline.extraction.marks import MARKS, NEWLINE, SPACE, TAB, protect_white_space


def test_white_space_that_matters_is_marked_and_the_length_stays() -> None:
    text = "if x:\n    y = 1\n\tz"
    protected = protect_white_space(text)
    assert protected == f"if x:{NEWLINE}{SPACE * 4}y = 1{NEWLINE}{TAB}z"
    assert len(protected) == len(text)
    assert MARKS.sub("", protected) == "if x:y = 1z"
