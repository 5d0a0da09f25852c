"""C4's sentence count and its share of lines with curly brackets."""

from __future__ import annotations

import pytest

from pipeline.heuristics import c4
from pipeline.heuristics.text_parts import split_text


def test_sentences() -> None:
    assert c4.count_sentences(["One. Two! Three?", 'He said "four." Five', "3.14 is no end."]) == 6
    assert c4.count_sentences(["这是一。这是二！", "没有标点"]) == 3


@pytest.mark.timeout(20)
def test_counting_sentences_takes_linear_time() -> None:
    assert c4.count_sentences(["." * 100_000 + "x"]) == 1  # minutes if every dot is tried as the start of the run


@pytest.mark.parametrize(
    ("line", "is_curly"),
    [
        ("var page = {title: 'x'};", True),
        ('$(window).load(function(){ $("#menu").slicknav(); });', True),
        ("$('a').on('click',function(){$('b').hide()});", True),
        ("jQuery(document).ready(function($){ $('.x').show(); });", True),
        ("Pay $5 and {name} gets $10 back.", True),
        ("Let $x_{1}$ and $\\frac{a}{b}$ be given, and $$\\sum_{i} x_{i}$$ their sum.", False),
        ("At $5 a piece, $x_{1}$ of them cost much.", False),
        ("Write `f{x}` for the braces.", False),
        ("Write to <EMAIL_1> for $5.", False),
    ],
)
def test_leaked_scripts_have_curly_lines_and_formulas_have_none(line: str, is_curly: bool) -> None:
    page = split_text("\n".join([line] * 4), "en")
    assert c4.measure(page)["c4_curly_lines"] == 0.75 * is_curly  # one line is not counted
