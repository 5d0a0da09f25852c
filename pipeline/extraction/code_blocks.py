"""Protect preformatted text: code and other `pre` blocks keep their lines and indentation."""

from __future__ import annotations

import re

from lxml.etree import XPath, _Element
from lxml.html import HtmlElement

from pipeline.extraction.dom import remove_element
from pipeline.extraction.marks import CONTROLS, FENCE, PRE, protect_white_space

_LINE_NUMBERS = XPath(
    ".//*[contains(@class, 'lineno') or contains(@class, 'line-number') or contains(@class, 'linenumber')"
    " or contains(concat(' ', @class, ' '), ' gutter ') or contains(concat(' ', @class, ' '), ' blob-num ')]"
)
_CODE_TABLES = XPath("//table[.//td[contains(@class, 'code')]//pre]")
_CODE_CLASS = re.compile(
    r"highlight|hljs|prettyprint|codehilite|source-?code|\blang(uage)?-|\bbrush:|\bcode\b|crayon|syntax|programlisting"
    r"|prism|shiki|geshi|listing",
    re.IGNORECASE,
)
_CODE_LINE = re.compile(
    r"[;{}]\s*$|[=!<>]=|\w\([^()]*\)|^\s*[\w.]+\s*=[^=]|^\s*(#include|\$|>>>|//|/\*|</?\w)"
    r"|^\s*(def|class|import|from|for|while|if|elif|return|function|var|let|const|public|private|static|package|using"
    r"|SELECT|INSERT|UPDATE|CREATE)\b"
)
_CODE_LINES = 0.4  # share of lines that look like code for a `pre` without any mark of its language


def protect_code(tree: HtmlElement) -> int:
    """Put marks into all preformatted text; the number of code blocks and inline code elements."""
    blocks = [block for block in tree.iter("pre", "xmp", "listing") if next(block.iterancestors("pre"), None) is None]
    if blocks:
        for table in _CODE_TABLES(tree):
            _unwrap_code_table(table)
    code = sum(_protect_block(block) for block in blocks)
    return code + sum(1 for _ in tree.iter("code", "kbd", "samp", "tt"))


def looks_like_code(block: _Element) -> bool:
    """Whether a `pre` holds code and not a letter, a poem or a plan: by its markup, else by its lines."""
    around = [block, block.getparent(), *block]
    if any(_CODE_CLASS.search(f"{e.get('class', '')} {e.get('lang', '')}") for e in around if e is not None):
        return True
    if block.tag != "pre" or next(block.iter("code", "samp", "kbd"), None) is not None:
        return True
    lines = [line for line in "".join(block.itertext()).splitlines() if line.strip()]
    return bool(lines) and sum(1 for line in lines if _CODE_LINE.search(line)) >= _CODE_LINES * len(lines)


def _protect_block(block: _Element) -> bool:
    """Make `block` a `pre` with one text whose white space is protected; whether it is code."""
    is_code = looks_like_code(block)
    text = _preformatted_text(block)
    for child in list(block):
        block.remove(child)
    block.tag = "pre"
    mark = FENCE if is_code else PRE
    block.text = f"{mark}{protect_white_space(text)}{mark}" if text else None
    return is_code and bool(text)


def _unwrap_code_table(table: _Element) -> None:
    """Replace a highlighter's two-column table (line numbers, code) by the `pre` that holds the code."""
    cells = [cell for cell in table.iter("td") if "code" in cell.get("class", "")]
    code = cells[-1].find(".//pre") if cells else None
    parent = table.getparent()
    if code is None or parent is None:
        return
    code.tail = table.tail
    code.set("class", f"code {code.get('class', '')}")
    parent.replace(table, code)


def _preformatted_text(block: _Element) -> str:
    for number in _LINE_NUMBERS(block):
        remove_element(number)
    for line_break in block.iter("br"):
        line_break.tail = "\n" + (line_break.tail or "")
    lines = "".join(block.itertext()).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").split("\n")
    return CONTROLS.sub("", "\n".join(line.rstrip() for line in lines).strip("\n"))
