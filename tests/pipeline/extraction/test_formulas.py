"""Formulas become LaTeX between marks."""

from __future__ import annotations

from lxml.html import document_fromstring

from pipeline.extraction.formulas import count_formulas_in_text, protect_formulas
from pipeline.extraction.marks import DISPLAY, MATH


def test_mathml_with_a_tex_annotation() -> None:
    formula = "<annotation encoding='application/x-tex'>x^2</annotation></math>"
    source = f"<p>Let <math>{formula} be.</p><div><math display=block>{formula}</div>"
    tree = document_fromstring(source)
    assert protect_formulas(tree, source.encode()) == 2
    assert [each.text_content() for each in tree.iter("p")] == [
        f"Let {MATH}x^2{MATH} be.",
        f"{DISPLAY}x^2{DISPLAY}",
    ]


def test_images_of_formulas() -> None:
    source = "<p>Let <img class=tex alt='x^2'> be, <img class=latex alt='y'>, <img class=texture alt='bark'>."
    tree = document_fromstring(source)
    assert protect_formulas(tree, source.encode()) == 2
    assert tree.text_content() == f"Let {MATH}x^2{MATH} be, {MATH}y{MATH}, ."


def test_formulas_that_the_author_wrote_as_text() -> None:
    assert count_formulas_in_text(r"$$a$$ and \(b\) and \[c\], but not $5") == 3
