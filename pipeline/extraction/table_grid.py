"""The rows and columns of a table of data, with spans filled, or its parts one after the other if it holds no data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lxml.etree import _Element

from pipeline.extraction.marks import CODE, LINE
from pipeline.extraction.structures import Code, Definitions, Listing, Quote, Structure, Table

_LONGEST_CELL = 1_500  # characters; a longer one is a text of its own
_MOST_COLUMNS = 1_000  # as in HTML
_FILLED = 20  # spanned cells for each cell of the page: ten lines of HTML could ask for a million


@dataclass(slots=True)
class Cell:
    """A cell as the page has it; without an element if it is text that stands outside cells."""

    element: _Element | None
    content: list[Structure]


@dataclass(slots=True)
class Row:
    """A row; its element is the part of the table around them if cells stand outside rows."""

    element: _Element | None
    cells: list[Cell]


def build_table(parts: Sequence[Any]) -> tuple[list[Structure], bool]:
    """From rows (and cells outside rows, captions between them) to structures; whether a table is among them."""
    rows: list[Row] = []
    before: list[Structure] = []
    after: list[Structure] = []
    for part in parts:
        if isinstance(part, Row):
            rows.append(part)
        elif isinstance(part, Cell):
            around = part.element.getparent() if part.element is not None else None
            if not rows or rows[-1].element is not around:
                rows.append(Row(around, []))
            rows[-1].cells.append(part)
        else:
            (after if rows else before).append(part)
    content = [part for row in rows for cell in row.cells for part in cell.content]
    if any(isinstance(part, Code) and "\n" in part.text for part in content):
        return [*before, *content, *after], False
    texts = [[write_cell(cell.content) for cell in row.cells] for row in rows]
    if max((len(text) for row in texts for text in row), default=0) > _LONGEST_CELL:
        return [*before, *content, *after], False
    grid = _fill_grid(rows, texts)
    headers = [_is_header(row) for row in rows]
    kept = [number for number, own in enumerate(texts) if any(own)]
    columns = [place for place in range(len(grid[0]) if grid else 0) if any(grid[number][place] for number in kept)]
    if len(columns) < 2 or len(kept) < 2:
        return [*before, *content, *after], False
    header_rows = next((place for place, number in enumerate(kept) if not headers[number]), 0)
    table = Table([[grid[number][place] for place in columns] for number in kept], header_rows)
    return [*before, table, *after], True


def _is_header(row: Row) -> bool:
    part = _part_of(row)
    if part is not None and part.tag == "thead":
        return True
    return bool(row.cells) and all(cell.element is not None and cell.element.tag == "th" for cell in row.cells)


def _part_of(row: Row) -> _Element | None:
    """The `thead`, `tbody` or table around a row."""
    return row.element.getparent() if row.element is not None and row.element.tag == "tr" else row.element


def _fill_grid(rows: Sequence[Row], texts: Sequence[Sequence[str]], *, spans: bool = True) -> list[list[str]]:
    """Rows of equal length. A cell over several rows or columns is repeated in each, so that each row says it all; one
    that spans its whole row is written once.
    """
    most = _FILLED * sum(map(len, texts)) + 100
    budget = most if spans else 0
    grid: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}  # column -> rows to come, text
    section: _Element | None = None
    for number, (row, own) in enumerate(zip(rows, texts, strict=True)):
        if _part_of(row) is not section:  # a cell does not reach out of its part of the table
            section, hanging = _part_of(row), {}
        line: list[str] = []
        below: dict[int, tuple[int, str]] = {}
        for cell, text in zip(row.cells, own, strict=True):
            _take_hanging(line, hanging, below)
            across, down = (_span(cell, name) for name in ("colspan", "rowspan"))
            across, down = max(1, min(across, _MOST_COLUMNS - len(line))), min(down, len(rows) - number)
            if across * down - 1 > budget:
                across = down = 1
            budget -= across * down - 1
            for place in range(across):
                if down > 1:
                    below[len(line)] = (down - 1, text)
                line.append(text if place == 0 or len(row.cells) > 1 else "")
        _take_hanging(line, hanging, below)
        for column in sorted(hanging):  # cells from above that stand right of a short row
            line += [""] * (column - len(line))
            _take_hanging(line, hanging, below)
        grid.append(line)
        hanging = below
    width = max(map(len, grid), default=0)
    if spans and width * len(grid) > most:
        return _fill_grid(rows, texts, spans=False)
    return [line + [""] * (width - len(line)) for line in grid]


def _take_hanging(line: list[str], hanging: dict[int, tuple[int, str]], below: dict[int, tuple[int, str]]) -> None:
    """Write the cells from above that stand at the end of the row so far."""
    while len(line) in hanging:
        rest, text = hanging.pop(len(line))
        if rest > 1:
            below[len(line)] = (rest - 1, text)
        line.append(text)


def _span(cell: Cell, name: str) -> int:
    """A span as HTML reads it; 0 rows mean the rest of the table."""
    text = (cell.element.get(name) or "").strip() if cell.element is not None else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return 1
    number = int(text)
    if name == "rowspan":
        return min(number, 65_534) if number else 65_534
    return min(number, _MOST_COLUMNS) if number else 1


def write_cell(content: Sequence[Structure]) -> str:
    """A cell in one line."""
    return " ".join(text for text in _lines(content) if text)


def _lines(content: Sequence[Structure]) -> Iterator[str]:
    for part in content:
        if isinstance(part, Code):
            yield f"{CODE}{part.text.strip()}{CODE}" if part.is_code else " ".join(part.text.split())
        elif isinstance(part, Listing):
            for item in part.items:
                yield from _lines(item.content)
        elif isinstance(part, Definitions):
            for entry in part.entries:
                yield from _lines(entry.content)
        elif isinstance(part, Table):
            yield from (cell for row in part.rows for cell in row)
        elif isinstance(part, Quote):
            yield from _lines(part.content)
        else:
            yield part.text.replace(LINE, " ")
