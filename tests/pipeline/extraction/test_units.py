"""Code, tables and lists are kept or left out as a whole, by the blocks that are chosen and those that are likely."""

from __future__ import annotations

import pytest

from classifiers.extraction.blocks import read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from pipeline.extraction.render_nodes import render

CODE = "<pre>turn = 1\nstop = 0</pre>"
TABLE = "<table><tr><th>Year</th><th>Sacks</th></tr><tr><td>1840</td><td>312</td></tr></table>"
LAYOUT = "<table role='presentation'><tr><td>left</td><td>right</td></tr></table>"
LIST = "<ul><li>wheel</li><li>weir</li><li>stone</li></ul>"
TEXTS = {CODE: ("turn = 1",), TABLE: ("Year", "Sacks", "1840", "312"), LAYOUT: ("left", "right")}
WORDS = {CODE: "stop", TABLE: "312", LAYOUT: "right"}


def read(html: str, chosen: tuple[str, ...], likely: tuple[str, ...] = ()) -> str:
    """The text when the blocks with these words are chosen; the likely ones besides."""
    tree, _ = parse_html(encode_source(html))
    assert tree is not None
    blocks = read_blocks(tree)
    taken = [any(word in text for word in chosen) for text in blocks.texts]
    possible = [any(word in text for word in chosen + likely) for text in blocks.texts]
    return render(blocks, taken, "text", possible)[0]


@pytest.mark.parametrize("unit", [CODE, TABLE])
@pytest.mark.parametrize("page", ["<p>Mill.</p>{}<hr>", "{}<p>Mill.</p>", "<p>Mill.</p><p>Copy</p><p>3</p>{}"])
def test_likely_code_and_tables_near_the_text_are_kept(unit: str, page: str) -> None:
    html = page.format(unit)
    assert WORDS[unit] in read(html, ("Mill",), TEXTS[unit])
    assert read(html, ("Mill",)) == "Mill."


@pytest.mark.parametrize("unit", [CODE, TABLE])
def test_likely_units_far_from_the_text_are_left_out(unit: str) -> None:
    html = f"<p>Mill.</p>{'<p>away</p>' * 3}{unit}"
    assert read(html, ("Mill",), TEXTS[unit]) == "Mill."


def test_most_of_the_unit_must_be_likely() -> None:
    html = f"<p>Mill.</p>{TABLE}"
    assert read(html, ("Mill",), ("Year", "312")) == "Mill."
    assert "1840" in read(html, ("Mill",), ("Year", "Sacks", "312"))


def test_units_after_a_kept_unit_are_near() -> None:
    html = f"<p>Mill.</p>{CODE}<p>a</p><p>b</p>{TABLE}"
    assert "| 1840 | 312 |" in read(html, ("Mill",), TEXTS[CODE] + TEXTS[TABLE])


@pytest.mark.parametrize("unit", [LAYOUT, LIST])
def test_layout_and_lists_are_kept_by_choice_alone(unit: str) -> None:
    words = ("left", "right", "wheel", "weir", "stone")
    assert read(f"<p>Mill.</p>{unit}", ("Mill",), words) == "Mill."


def test_hidden_and_navigational_parts_are_never_added() -> None:
    html = (
        "<p>Mill.</p><table><tr><th>Year</th><th>Sacks</th></tr><tr style='display:none'><td>secret</td><td>0</td></tr>"
        "<tr><td>1840</td><td>312 <button>Copy</button></td></tr></table>"
    )
    found = read(html, ("Mill",), ("Year", "Sacks", "1840", "312", "secret", "Copy"))
    assert "| 1840 | 312 |" in found
    assert "secret" not in found
    assert "Copy" not in found
