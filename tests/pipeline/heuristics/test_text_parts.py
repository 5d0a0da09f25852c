"""The kind of each line of a text."""

from __future__ import annotations

from pipeline.heuristics.text_parts import LineKind, split_text


def test_kinds_of_lines() -> None:
    page = split_text("a b\n\n- item\n\n| x | y |\n\n```\ncode\n```\n\n$$\nx\n$$\n\n$$y$$\n\nend", "en")
    code, formula = [LineKind.CODE] * 3, [LineKind.FORMULA] * 4
    assert page.kinds == [LineKind.PROSE, LineKind.LIST_ITEM, LineKind.TABLE, *code, *formula, LineKind.PROSE]
    assert split_text("```\nnever closed", "en").kinds == [LineKind.PROSE, LineKind.PROSE]
    assert split_text("| " + "word " * 20 + "|", "en").kinds == [LineKind.PROSE]  # a table used for page layout
