"""From an engine's result tree to the text that the shards hold.

Paragraphs are apart by a blank line; code is fenced, tables have `|`, lists `-`, formulas `$`. Nothing is escaped: the
text is for a language model, not for a Markdown renderer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from lxml.etree import _Element

from pipeline.extraction.markup import (
    CODE,
    CONTROLS,
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
    Counts,
    protect,
    raw_formulas,
)

# Characters that no reader sees: zero-width space, word joiner, byte-order mark, soft hyphen, object replacement.
_UNSEEN = re.compile("[\u200b\u2060\ufeff\u00ad\ufffc]")
_WHITE = re.compile(r"[ \t\r\n\f\v\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")

_LONG_PARAGRAPH = 80  # characters; shorter ones come again in any text
_BLOCKS = {"p", "head", "quote", "list", "body", "div", "table", "ab", "figure", "row", "cell"}


def render(body: _Element) -> str:
    """Text with marks, of trafilatura's result tree."""
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
        # A list in an item stays with it; a list of its own is a paragraph.
        yield from (LINE if depth else PARAGRAPH, LIST, *_inside(element, depth + 1), LINE if depth else PARAGRAPH)
    elif tag == "item":
        bullet = "" if element.get("rend", "").startswith("d") else "- "  # terms and definitions have none
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
    """An item is one run of lines: paragraphs inside it do not break the list."""
    text = "".join(_inside(element, depth)).replace(PARAGRAPH, LINE)
    lines = [line for line in (_WHITE.sub(" ", line).strip() for line in text.split(LINE)) if line]
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
        yield f"{FENCE}{protect(text.strip(chr(10)))}{FENCE}"
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
    else:  # laid out with a table: its cells are paragraphs
        for row in rows:
            yield from (PARAGRAPH + cell for cell in row)
    yield PARAGRAPH


def _cell(cell: _Element) -> str:
    text = "".join(_inside(cell, 0)).replace(LINE, " ")
    pieces = [_WHITE.sub(" ", piece).strip() for piece in text.split(PARAGRAPH)]
    return PARAGRAPH.join(piece for piece in pieces if piece)


# --- from marked text to text ---


def finish(marked: str) -> tuple[str, Counts]:
    """Clean text with fences, `$` and its white space; counts of the structures in it."""
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", CONTROLS.sub("", marked)))
    formulas = raw_formulas(text) + (text.count(MATH) + text.count(DISPLAY)) // 2
    counts = Counts(text.count(FENCE) // 2 + text.count(CODE), formulas, text.count(TABLE), text.count(LIST))
    text = text.replace(CODE, "").replace(TABLE, "").replace(LIST, "")
    text = re.sub(f"{FENCE}([^{FENCE}]*){FENCE}", _fence, text)
    text = re.sub(f"{PRE}([^{PRE}]*){PRE}", rf"{PARAGRAPH}\1{PARAGRAPH}", text)
    text = text.replace(FENCE, "").replace(PRE, "").replace(MATH, "$").replace(DISPLAY, "$$")
    paragraphs = [_lines(paragraph) for paragraph in text.split(PARAGRAPH)]
    return "\n\n".join(_without_second_copy([paragraph for paragraph in paragraphs if paragraph])), counts


def _without_second_copy(paragraphs: list[str]) -> Iterator[str]:
    """Pages hold a story twice: for print, for phones, folded and unfolded. The second copy of a long paragraph
    goes; where there are more copies it is spam, and the rules against repetition are to see it.
    """
    copies = Counter(paragraph for paragraph in paragraphs if _may_be_second_copy(paragraph))
    seen: set[str] = set()
    for paragraph in paragraphs:
        if copies[paragraph] != 2 or paragraph not in seen:
            yield paragraph
        seen.add(paragraph)


def _may_be_second_copy(paragraph: str) -> bool:
    """Prose in one line: refrains, tables, lists and code come again on purpose."""
    return len(paragraph) >= _LONG_PARAGRAPH and "\n" not in paragraph and not paragraph.startswith("$$")


def _fence(match: re.Match[str]) -> str:
    fence = "```" if "```" not in match[1] else "````"
    return f"{PARAGRAPH}{fence}{NEWLINE}{match[1].strip(NEWLINE)}{NEWLINE}{fence}{PARAGRAPH}"


def _lines(paragraph: str) -> str:
    lines = (_WHITE.sub(" ", line).strip() for line in paragraph.split(LINE))
    text = "\n".join(line for line in lines if line.strip(SPACE + "- "))
    return text.replace(NEWLINE, "\n").replace(SPACE, " ").replace(TAB, "\t").strip("\n")
