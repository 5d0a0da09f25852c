"""Cells stand in the columns in which a browser shows them, and none is emptied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.pipeline.extraction.rendering_help import render_html, text_of


def read_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


CellShape = tuple[int, int, bool]  # columns, rows, whether there is a text


def write_table(rows: list[list[CellShape]]) -> str:
    """A table whose cells have these spans, and a word of their own each, or an image."""
    parts = ["<table><tr><th>head</th><th>top</th></tr>"]
    for number, row in enumerate(rows):
        cells = (
            f"<td colspan={c} rowspan={r}>{f'w{number}x{place}' if has_text else '<img src=x>'}</td>"
            for place, (c, r, has_text) in enumerate(row)
        )
        parts.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*parts, "</table>"])


SPAN = st.sampled_from([1, 1, 1, 2, 3])
CELLS = st.tuples(SPAN, SPAN, st.sampled_from([True, True, True, False]))


def lay_out(rows: list[list[CellShape]]) -> list[list[str]] | None:
    """The table as HTML forms it, slot by slot, without rows and columns that have no text; None if cells overlap."""
    slots: dict[tuple[int, int], str] = {}
    for y, row in enumerate(rows):
        x = 0
        for place, (across, down, has_text) in enumerate(row):
            while (x, y) in slots:
                x += 1
            for slot in ((x + i, y + j) for i in range(across) for j in range(down)):
                if slot in slots:
                    return None
                slots[slot] = f"w{y}x{place}" if has_text else ""
    kept = [y for y, row in enumerate(rows) if any(has_text for *_, has_text in row)]
    columns = [x for x in range(max(x for x, _ in slots) + 1) if x < 2 or any(slots.get((x, y)) for y in kept)]
    return [[slots.get((x, y), "") for x in columns] for y in kept]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=2, max_size=5))
def test_cells_stand_in_the_slots_that_they_cover(rows: list[list[CellShape]]) -> None:
    wanted = lay_out(rows)
    assume(wanted)
    found = read_rows(text_of(write_table(rows)))[1:]
    assert found == wanted


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<tr><th>a<th>b<tr><td>1<br>2<td><p>3</p><p>4</p>", "| a | b |\n| 1 2 | 3 4 |"),
        ("<tr><th>a<th>b<tr><td>1|2<td>", "| a | b |\n| 1\\|2 |  |"),
        ("<tr><th>a<th>b<tr><td colspan=2>all<tr><td>1<td>2", "| a | b |\n| all |  |\n| 1 | 2 |"),
        ("<tr><th rowspan=0>a<td>1<tr><td>2", "| a | 1 |\n| a | 2 |"),
        ("<tr><th>a<th>b<tr><td rowspan=3>1<td>2<tbody><tr><td>3<td>4", "| a | b |\n| 1 | 2 |\n| 3 | 4 |"),
        ("<tr><th>a<th>b<th>c<tr><td>1<td><td>3<tr><td><img><td>5<td>", "| a | b | c |\n| 1 |  | 3 |\n|  | 5 |  |"),
        (
            "<tr><th hidden>id<th>a<th>b<tr><td hidden><td>1<td>2<tr><td hidden>7<td><td>4",
            "| a | b |\n| 1 | 2 |\n|  | 4 |",
        ),
        ("<tr><th>a<th>b<tr><td rowspan=2>1<td>2<tr><td><tr><td>3<td>4", "| a | b |\n| 1 | 2 |\n| 3 | 4 |"),
        ("<tr><th>a<th><th>b<tr><td>1<td><td>2", "| a | b |\n| 1 | 2 |"),  # a column for layout only
        ("<tr><th>a<th>b<tr><td><code>f(x)</code><td><ul><li>c<li>d</ul>", "| a | b |\n| `f(x)` | c d |"),
        ("<caption>Prices</caption><tr><th>a<th>b<tr><td>1<td>2", "Prices\n\n| a | b |\n| 1 | 2 |"),
        ("<thead><tr><th>a<th>b</thead><tfoot><tr><td>1<td>2</tfoot>", "| a | b |\n| 1 | 2 |"),
        ("<tr><td>a<td>b<tr><td>1<td>2", "| a | b |\n| 1 | 2 |"),
        ("<th>a<th>b<tr><td>1<td>2", "| a | b |\n| 1 | 2 |"),  # no tr before the first cells
    ],
)
def test_tables_of_data(source: str, text: str) -> None:
    assert text_of(f"<table>{source}</table>") == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<table><tr><td>menu<td><p>one</p><p>two</p></table>", "menu\n\none\n\ntwo"),
        ("<table><tr><td>only</table>", "only"),
        ("<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>", "a\n\nb\n\nc\n\nd"),
        (
            "<table><tr><td><table><tr><th>a<th>b<tr><td>1<td>2</table><td>beside</table>",
            "| a | b |\n| 1 | 2 |\n\nbeside",
        ),
        (
            "<table><tr><th>call<th>code<tr><td>f<td><pre><code>if x:\n  y</code></pre></table>",
            "call\n\ncode\n\nf\n\n```\nif x:\n  y\n```",
        ),
    ],
)
def test_tables_that_lay_a_page_out_are_paragraphs(source: str, text: str) -> None:
    assert text_of(source) == text


def test_markdown_has_one_header_row() -> None:
    source = "<table><tr><th>a<th>b<tr><th>c<th>d<tr><td>1<td>2</table>"
    assert render_html(source, "markdown")[0] == "| a | b |\n| --- | --- |\n| c | d |\n| 1 | 2 |"


@pytest.mark.parametrize("spans", ["colspan=999999999 rowspan=99999999", "colspan=1000 rowspan=60000", "rowspan=0"])
def test_spans_of_hostile_pages_stay_small(spans: str) -> None:
    source = f"<table><tr><th>a<th>b</tr>{f'<tr><td {spans}>c<td>d</tr>' * 300}</table>"
    for text_format in ("text", "markdown"):
        format_: Any = text_format
        assert len(render_html(source, format_)[0]) < 20 * len(source)
