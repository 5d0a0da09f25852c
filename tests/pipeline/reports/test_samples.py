"""Samples of the report: shortened texts and marked differences."""

from __future__ import annotations

from pipeline.reports.samples import mark_differences, shorten


def test_shorten_cuts_between_words() -> None:
    assert shorten("one two three four", 11) == "one two …"
    assert shorten("x" * 30, 10) == "x" * 10 + " …"
    assert shorten(None) == ""


def test_mark_differences_rebuild_both_texts() -> None:
    left, right = "the cat  sat\non a mat", "the dog sat on a mat today"
    ours, theirs = mark_differences(left, right)
    assert "".join(text for text, _ in ours) == left
    assert "".join(text for text, _ in theirs) == right
    assert ("cat", True) in [(text.strip(), differs) for text, differs in ours]
