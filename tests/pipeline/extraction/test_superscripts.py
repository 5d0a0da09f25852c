"""Exponents, indices, ordinals and footnotes are told apart, in text and in trees."""

from __future__ import annotations

import pytest
from lxml.html import document_fromstring

from pipeline.extraction.superscripts import replace_scripts, write_subscript, write_superscript


@pytest.mark.parametrize(
    ("before", "above", "written"),
    [
        ("10", "25", "^25"),
        ("$19", "99", ".99"),
        ("€ 1,250", "00", ".00"),
        ("Yield", "a", "[a]"),
        ("Lee", "a,b", "[a,b]"),
        ("Doe", "2,*", "[2,*]"),
        ("45", "b", "[b]"),
        ("1", "a", "a"),
        ("Prof", "a", "a"),
        ("10", "−6", "^−6"),
        ("10", "1.5", "^1.5"),
        ("x", "1/2", "^(1/2)"),
        ("12 m", "2", "²"),
        ("πr", "2", "²"),
        ("(a+b)", "n", "^n"),
        ("2", "n+1", "^(n+1)"),
        ("10", "2n", "^(2n)"),
        ("A", "T", "^T"),
        ("Ca", "2+", "^2+"),
        ("cos", "2", "²"),
        ("19", "th", "th"),
        ("1", "er", "er"),
        ("XIX", "e", "e"),
        ("M", "me", "me"),
        ("Java", "TM", "TM"),
        ("guild", "2", "[2]"),
        ("said.", "13", "[13]"),
        ("guilds", "1,2", "[1,2]"),
        ("guild", "[4]", "[4]"),
        ("", "1", "1"),
        ("see ", "a note in small print", "a note in small print"),
    ],
)
def test_superscripts(before: str, above: str, written: str) -> None:
    assert write_superscript(before, above) == written


@pytest.mark.parametrize(
    ("before", "below", "written"),
    [("H", "2", "₂"), ("x", "i", "_i"), ("v", "max", "_max"), ("a", "n+1", "_(n+1)"), ("1⁄", "2", "2"), ("", "2", "2")],
)
def test_subscripts(before: str, below: str, written: str) -> None:
    assert write_subscript(before, below) == written


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>10<sup>25</sup> and <b><i>x</i></b><sup>2</sup> and 19<sup>th</sup>", "10^25 and x² and 19th"),
        ("<p>a guild<sup><a href=#f>2</a></sup>.", "a guild[2]."),
        ("<p>2<sup>10</sup>5, x<sup>n</sup>y, A<sub>ij</sub>B", "2^(10)5, x^(n)y, A_(ij)B"),
        ("<p>30<sup>o</sup>C, 1<sup>o</sup> lugar", "30°C, 1o lugar"),
        ("<p>1<sup>1</sup>/<sub>2</sub> and <span>CO<sub>2</sub></span>", "1 1/2 and CO₂"),
        ("<p>a<br><sup>2</sup>b", "a2b"),
        ("<p>10<span style='top:0;Vertical-Align : super'>25</span>", "10^25"),
        ("<p>H<font class='x subscript'>2</font>O", "H₂O"),
        ("<p>a<sup>b<sup>c</sup></sup> and <i>e</i><sup><i>u<sub>k</sub></i></sup>", "a^(b^c) and e^(u_k)"),
        ("<p>2<sup>2<sup>m</sup>+1</sup> and x<sub>i<sup>2</sup></sub>", "2^(2^m+1) and x_(i²)"),
        ("<p>x<sup>2<sup>3</sup></sup> and 5<span class=sub>A title</span>", "x^(2³) and 5A title"),
    ],
)
def test_scripts_of_a_tree(source: str, text: str) -> None:
    tree = document_fromstring(source)
    replace_scripts(tree)
    assert tree.text_content() == text
