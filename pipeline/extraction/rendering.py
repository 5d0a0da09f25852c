"""From the engine's result to the text that the shards hold: a result tree to text with marks, marks to plain text.

Paragraphs are separated by a blank line; code is fenced, tables have `|`, lists `-`, formulas `$`. Nothing is escaped:
the text is for a language model, not for a Markdown renderer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.etree import _Element

from pipeline.extraction.final_text import clean_characters, join_paragraphs
from pipeline.extraction.formulas import count_formulas_in_text
from pipeline.extraction.marks import (
    CODE,
    DISPLAY,
    FENCE,
    LINE,
    LIST,
    MATH,
    NEWLINE,
    PARAGRAPH,
    PRE,
    SPACE,
    TAB,
    TABLE,
    StructureCounts,
    protect_white_space,
)

_WHITE_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_BLOCKS = {"p", "head", "quote", "list", "body", "div", "table", "ab", "figure", "row", "cell"}


def render_body(body: _Element) -> str:
    """Text with marks, from trafilatura's result tree."""
    return "".join(_pieces(body, 0))


def _pieces(element: _Element, depth: int) -> Iterator[str]:
    tag = element.tag
    if tag == "lb":
        yield LINE
    elif tag == "code":
        yield from _code(element)
    elif tag == "table":
        yield from _table(element, depth)
    elif tag == "list":
        # A list inside an item stays with the item; any other list is a paragraph.
        yield from (LINE if depth else PARAGRAPH, LIST, *_inside(element, depth + 1), LINE if depth else PARAGRAPH)
    elif tag == "item":
        bullet = "" if element.get("rend", "").startswith("d") else "- "  # terms and definitions have no bullet
        yield from (LINE, SPACE * 2 * (depth - 1), bullet, _item(element, depth), LINE)
    elif tag in _BLOCKS:
        yield from (PARAGRAPH, *_inside(element, depth), PARAGRAPH)
    else:
        yield from _inside(element, depth)


def _inside(element: _Element, depth: int) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if isinstance(child.tag, str):
            yield from _pieces(child, depth)
        yield child.tail or ""


def _item(element: _Element, depth: int) -> str:
    """The lines of an item, without its paragraphs: those would break the list."""
    text = "".join(_inside(element, depth)).replace(PARAGRAPH, LINE)
    lines = [line for line in (_WHITE_SPACE.sub(" ", line).strip() for line in text.split(LINE)) if line]
    margin = SPACE * 2 * depth
    return LINE.join(
        line if first or line.startswith((SPACE, "- ")) else margin + line
        for first, line in zip([True, *[False] * len(lines)], lines, strict=False)
    )


def _code(element: _Element) -> Iterator[str]:
    text = "".join(element.itertext())
    if (FENCE in text or PRE in text) or not text.strip():
        yield text
    elif "\n" in text.strip():
        yield f"{FENCE}{NEWLINE}{protect_white_space(text.strip(chr(10)))}{FENCE}"
    else:
        yield CODE + (f"`{text.strip()}`" if "`" not in text else f"`` {text.strip()} ``")


def _table(element: _Element, depth: int) -> Iterator[str]:
    rows = [[_cell(cell) for cell in row.iter("cell")] for row in element.iter("row")]
    rows = [row for row in rows if any(row)]
    width = max((len(row) for row in rows), default=0)
    if width > 1 and len(rows) > 1 and not any(PARAGRAPH in cell or FENCE in cell for row in rows for cell in row):
        yield PARAGRAPH + TABLE
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" + LINE
    else:  # a table that only lays out text: its cells are paragraphs
        for row in rows:
            yield from (PARAGRAPH + cell for cell in row)
    yield PARAGRAPH


def _cell(cell: _Element) -> str:
    text = "".join(_inside(cell, 0)).replace(LINE, " ")
    pieces = [_WHITE_SPACE.sub(" ", piece).strip() for piece in text.split(PARAGRAPH)]
    return PARAGRAPH.join(piece for piece in pieces if piece)


# --- from marked text to text ---


def replace_marks(marked: str) -> tuple[str, StructureCounts]:
    """The final text, with fences and `$` instead of marks, and the structures in it."""
    text = clean_characters(marked)
    formulas = count_formulas_in_text(text) + (text.count(MATH) + text.count(DISPLAY)) // 2
    counts = StructureCounts(text.count(FENCE) // 2 + text.count(CODE), formulas, text.count(TABLE), text.count(LIST))
    text = text.replace(CODE, "").replace(TABLE, "").replace(LIST, "")
    text = re.sub(f"{FENCE}([^{FENCE}]*){FENCE}", _write_fence, text)
    text = re.sub(f"{PRE}([^{PRE}]*){PRE}", rf"{PARAGRAPH}\1{PARAGRAPH}", text)
    text = text.replace(FENCE, "").replace(PRE, "").replace(MATH, "$").replace(DISPLAY, "$$")
    paragraphs = [_join_lines(paragraph) for paragraph in text.split(PARAGRAPH)]
    return join_paragraphs(paragraphs), counts


def _write_fence(match: re.Match[str]) -> str:
    """A fenced block; the first line between the marks is the language."""
    language, _, code = match[1].partition(NEWLINE)
    fence = "```" if "```" not in code else "````"
    return f"{PARAGRAPH}{fence}{language.strip()}{NEWLINE}{code.strip(NEWLINE)}{NEWLINE}{fence}{PARAGRAPH}"


def _join_lines(paragraph: str) -> str:
    lines = (_WHITE_SPACE.sub(" ", line).strip() for line in paragraph.split(LINE))
    text = "\n".join(line for line in lines if line.strip(SPACE + "- "))
    return text.replace(NEWLINE, "\n").replace(SPACE, " ").replace(TAB, "\t").strip("\n")
