"""What an extractor would lose: code, white space, formulas. Kept through it by characters that no page uses.

`prepare` rewrites a parsed page before the engine sees it: preformatted blocks, MathML, MathJax and KaTeX become plain
text in which a few private characters (plane 15) stand for white space that matters, for the ends of a code block and
for the ends of a formula. Whatever path the text then takes through the engine and its fall-backs, `finish` finds those
characters and writes fences, indentation and `$`. As one character stands for one, the engine's measures of length see
the same page.

`render` turns the engine's result tree into text: paragraphs apart by a blank line, `|` tables, `-` lists.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from lxml.etree import XPath, _Element
from lxml.html import HtmlElement

PARAGRAPH, LINE, NEWLINE, SPACE, TAB, FENCE, PRE, MATH, DISPLAY, TABLE, LIST = (chr(0xF0000 + i) for i in range(11))
_MARKS = re.compile("[\U000f0000-\U000f000a]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Characters that are seen by no reader: zero-width space and byte-order mark, soft hyphen, object replacement.
_UNSEEN = re.compile("[\u200b\ufeff\u00ad\ufffc\u2060]")

_FORMULAS = XPath(
    "//*[local-name()='math'] | //script[starts-with(@type, 'math/')]"
    " | //img[contains(@class, 'mwe-math') or contains(@class, 'tex') or contains(@class, 'latex')][@alt]"
)
_RENDERED_FORMULAS = XPath(  # what a script drew from a formula that the page holds as source, too
    "//*[contains(concat(' ', @class, ' '), ' katex-html ')] | //*[contains(@class, 'MathJax_Preview')]"
    " | //*[contains(concat(' ', @class, ' '), ' MathJax ') or contains(@class, 'MathJax_SVG')"
    " or contains(@class, 'MathJax_Display') or contains(@class, 'MathJax_CHTML')][not(.//*[local-name()='math'])]"
)
_ANNOTATION = XPath(".//*[local-name()='annotation'][@encoding='application/x-tex']")
_UNREAD = XPath("//script[not(@type='application/ld+json')] | //style | //*[local-name()='svg'] | //template")
_LINE_NUMBERS = XPath(
    ".//*[contains(@class, 'lineno') or contains(@class, 'line-number') or contains(@class, 'linenumber')"
    " or contains(concat(' ', @class, ' '), ' gutter ') or contains(concat(' ', @class, ' '), ' blob-num ')]"
)
_CODE_TABLES = XPath("//table[.//td[contains(@class, 'code')]//pre]")
_CODE_CLASS = re.compile(
    r"highlight|hljs|prettyprint|codehilite|source-?code|\blang(uage)?-|\bbrush:|\bcode\b|crayon|syntax|programlisting"
    r"|prism|shiki|geshi|wp-block-code|listing",
    re.IGNORECASE,
)
_CODE_LINE = re.compile(
    r"[;{}]\s*$|[=!<>]=|\w\([^()]*\)|^\s*[\w.]+\s*=[^=]|^\s*(#include|\$|>>>|//|/\*|</?\w)"
    r"|^\s*(def|class|import|from|for|while|if|elif|return|function|var|let|const|public|private|static|package|using"
    r"|SELECT|INSERT|UPDATE|CREATE)\b"
)
_RAW_FORMULA = re.compile(r"\$\$[^$]+?\$\$|\\\([^$]+?\\\)|\\\[[^$]+?\\\]", re.DOTALL)
_WHITE = re.compile(r"[ \t\r\n\f\v\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


@dataclass(frozen=True, slots=True)
class Counts:
    """Nodes of each kind, in the page or in the text that came of it."""

    code: int
    formulas: int
    tables: int
    lists: int


def clean_source(html: str) -> str:
    """The page without characters that XML cannot hold and without our own marks."""
    html = _CONTROLS.sub(" ", html) if _CONTROLS.search(html) else html
    return _MARKS.sub("", html) if _MARKS.search(html) else html


def prepare(tree: HtmlElement) -> Counts:
    """Rewrite code and formulas of `tree` in place so that they survive extraction; counts of what the page has."""
    formulas = _keep_formulas(tree)
    for element in _UNREAD(tree):
        _remove(element)
    code = _keep_preformatted(tree)
    formulas += sum(1 for _ in _RAW_FORMULA.finditer(tree.text_content()))
    tables = sum(1 for table in tree.iter("table") if _is_table(table))
    return Counts(code, formulas, tables, sum(1 for _ in tree.iter("ul", "ol", "dl")))


def _is_table(table: _Element) -> bool:
    rows = sum(1 for _ in table.iter("tr"))
    return rows > 1 and sum(1 for _ in table.iter("td", "th")) >= 2 * rows


# --- formulas ---


def _keep_formulas(tree: HtmlElement) -> int:
    for element in _RENDERED_FORMULAS(tree):
        _remove(element)
    found = 0
    for element in _FORMULAS(tree):
        source = _CONTROLS.sub(" ", " ".join(_latex(element).split()))
        if source and element.getparent() is not None:
            mark = DISPLAY if _is_display(element) else MATH
            _replace(element, f"{mark}{source}{mark}")
            found += 1
    return found


def _latex(formula: _Element) -> str:
    annotation = _ANNOTATION(formula)
    if annotation:
        return str(annotation[0].text or "")
    if formula.tag == "script":
        return str(formula.text or "") if "tex" in formula.get("type", "") else ""
    return str(formula.get("alttext") or formula.get("alt") or "")


def _is_display(formula: _Element) -> bool:
    return (
        formula.get("display") == "block"
        or "mode=display" in formula.get("type", "").replace(" ", "")
        or "display" in formula.get("class", "")
    )


# --- preformatted text ---


def _keep_preformatted(tree: HtmlElement) -> int:
    for table in _CODE_TABLES(tree):
        _unwrap_code_table(table)
    code = 0
    for element in list(tree.iter("pre", "xmp", "listing")):
        if element.getparent() is None or any(True for _ in element.iterancestors("pre")):
            continue
        is_code = _is_code(element)
        text = _preformatted_text(element)
        for child in list(element):
            element.remove(child)
        element.tag = "pre"
        if text:
            mark = FENCE if is_code else PRE
            element.text = f"{mark}{_protect(text)}{mark}"
            code += is_code
        else:
            element.text = None
    return code + sum(1 for _ in tree.iter("code", "kbd", "samp", "tt"))


def _unwrap_code_table(table: _Element) -> None:
    """A highlighter's two-column table (line numbers, code) is no table: keep the `pre` that holds the code."""
    cells = [cell for cell in table.iter("td") if "code" in cell.get("class", "")]
    code = cells[-1].find(".//pre") if cells else None
    parent = table.getparent()
    if code is None or parent is None:
        return
    code.tail = table.tail
    code.set("class", f"code {code.get('class', '')}")
    parent.replace(table, code)


def _preformatted_text(element: _Element) -> str:
    for number in _LINE_NUMBERS(element):
        _remove(number)
    for line_break in element.iter("br"):
        line_break.tail = "\n" + (line_break.tail or "")
    lines = "".join(element.itertext()).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").split("\n")
    return _CONTROLS.sub("", "\n".join(line.rstrip() for line in lines).strip("\n"))


def _protect(text: str) -> str:
    text = re.sub(r" {2,}|(?<=\n) | (?=\n)|^ ", lambda run: SPACE * len(run[0]), text)
    return text.replace("\n", NEWLINE).replace("\t", TAB)


def _is_code(element: _Element) -> bool:
    """Whether a `pre` holds code and not a letter, a poem or a plan: by its markup, else by the look of its lines."""
    around = [element, element.getparent(), *element]
    if any(_CODE_CLASS.search(f"{e.get('class', '')} {e.get('lang', '')}") for e in around if e is not None):
        return True
    if element.tag in ("xmp", "listing") or any(True for _ in element.iter("code", "samp", "kbd")):
        return True
    lines = [line for line in "".join(element.itertext()).splitlines() if line.strip()]
    return bool(lines) and sum(1 for line in lines if _CODE_LINE.search(line)) >= 0.4 * len(lines)


def _replace(element: _Element, text: str) -> None:
    """Put `text` where `element` was."""
    element.tail = text + (element.tail or "")
    _remove(element)


def _remove(element: _Element) -> None:
    """Take `element` out and leave its tail."""
    parent = element.getparent()
    if parent is None:
        return
    if element.tail:
        previous = element.getprevious()
        if previous is None:
            parent.text = (parent.text or "") + element.tail
        else:
            previous.tail = (previous.tail or "") + element.tail
    parent.remove(element)


# --- from the engine's tree to text ---

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
        yield from (LINE, SPACE * 2 * (depth - 1), "- ", _item(element, depth), LINE)
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
    if _MARKS.search(text) or not text.strip():
        yield text
    elif "\n" in text.strip():
        yield f"{FENCE}{_protect(text.strip(chr(10)))}{FENCE}"
    else:
        yield f"`{text.strip()}`" if "`" not in text else f"`` {text.strip()} ``"


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
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", _CONTROLS.sub("", marked)))
    formulas = sum(1 for _ in _RAW_FORMULA.finditer(text)) + (text.count(MATH) + text.count(DISPLAY)) // 2
    counts = Counts(text.count(FENCE) // 2, formulas, text.count(TABLE), text.count(LIST))
    text = text.replace(TABLE, "").replace(LIST, "")
    text = re.sub(f"{FENCE}([^{FENCE}]*){FENCE}", _fence, text)
    text = re.sub(f"{PRE}([^{PRE}]*){PRE}", rf"{PARAGRAPH}\1{PARAGRAPH}", text)
    text = text.replace(FENCE, "").replace(PRE, "").replace(MATH, "$").replace(DISPLAY, "$$")
    paragraphs = (_lines(paragraph) for paragraph in text.split(PARAGRAPH))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph), counts


def _fence(match: re.Match[str]) -> str:
    fence = "```" if "```" not in match[1] else "````"
    return f"{PARAGRAPH}{fence}{NEWLINE}{match[1].strip(NEWLINE)}{NEWLINE}{fence}{PARAGRAPH}"


def _lines(paragraph: str) -> str:
    lines = (_WHITE.sub(" ", line).strip() for line in paragraph.split(LINE))
    text = "\n".join(line for line in lines if line.strip(SPACE + "- "))
    return text.replace(NEWLINE, "\n").replace(SPACE, " ").replace(TAB, "\t").strip("\n")
