"""Find code: `pre` elements that hold code and no letter, and blocks that highlighters make of other elements."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml.etree import XPath, _Element
from lxml.html import HtmlElement

from pipeline.extraction.code_text import PREFORMATTED, find_language, is_gutter, read_code
from pipeline.extraction.marks import FENCE, NEWLINE, PRE, protect_white_space

# Elements without `pre` inside that hold one block of code: SyntaxHighlighter, Crayon, GeSHi, doxygen, LaTeXML,
# EnlighterJS, CodeMirror, Monaco, Ace, and GitHub's and highlight.js's tables.
_CONTAINER_NAMES = (
    "syntaxhighlighter", "dp-highlighter", "crayon-main", "crayon-pre", "crayon-table", "ltx_listing", "enlighter",
    "enlighter-code", "js-file-line-container", "hljs-ln", "CodeMirror-code", "view-lines", "ace_text-layer", "geshi",
    "fragment", "diff-table",
)  # fmt: skip
_LINES = XPath("count(.//li | .//tr | .//div | .//br)")
_CODE_LINE_TAGS = ("li", "tr", "div", "p", "br")
_FEWEST_LINES = 3  # of text in a `code` element outside `pre`, by its line breaks alone
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
_CODE_TABLES = XPath("//table[.//td[contains(@class, 'code')]//pre]")
_CODE_LINES = 0.4  # share of lines that look like code for a `pre` without any mark of its language


def protect_code(tree: HtmlElement) -> int:
    """Put marks into all preformatted text; the number of code blocks and inline code elements."""
    elements = [each for each in tree.iter("div", "table", "ol", "figure") if each.get("class")]
    for number in find_code_containers(elements, [each.get("class", "") for each in elements]):
        elements[number].tag = "pre"
        elements[number].set("class", f"source-code {elements[number].get('class', '')}")
    for element in [each for each in tree.iter("code", "samp") if holds_code_lines(each)]:
        if next(element.iterancestors("pre"), None) is None:
            element.tag = "pre"
            element.set("class", f"source-code {element.get('class', '')}")
    blocks = [block for block in tree.iter(*PREFORMATTED) if next(block.iterancestors(*PREFORMATTED), None) is None]
    for table in _CODE_TABLES(tree) if blocks else ():
        _unwrap_code_table(table)
    code = sum(_protect_block(block) for block in blocks)
    return code + sum(1 for _ in tree.iter("code", "kbd", "samp", "tt"))


def find_code_containers(elements: Sequence[_Element], names: Sequence[str]) -> frozenset[int]:
    """Numbers of the outermost elements that a highlighter made around the lines of one block, without `pre`."""
    all_names = "\n".join(names)
    hints = [name for name in _CONTAINER_NAMES if name in all_names]
    if not hints:
        return frozenset()
    found: dict[int, _Element] = {}
    for number, name in enumerate(names):
        if any(hint in name for hint in hints) and not set(hints).isdisjoint(name.split()):
            element = elements[number]
            if _LINES(element) and next(element.iter(*PREFORMATTED, "p", "h1", "h2", "h3"), None) is None:
                found[number] = element
    inner = set(found.values())
    return frozenset(
        number for number, element in found.items() if not any(each in inner for each in element.iterancestors())
    )


def holds_code_lines(code: _Element) -> bool:
    """Whether `code` or `samp` outside `pre` is a block: it holds line elements, or stands alone with several lines."""
    if len(code) and next(code.iter(*_CODE_LINE_TAGS), None) is not None:
        return True
    parent = code.getparent()
    if parent is None or len(parent) > 1 or parent.tag in ("p", "li", "td", "span") or (parent.text or "").strip():
        return False
    return "".join(code.itertext()).strip().count("\n") + 1 >= _FEWEST_LINES


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
    text = "" if is_gutter(block) else read_code(block)
    language = find_language(block) if is_code else ""
    for child in list(block):
        block.remove(child)
    block.tag = "pre"
    mark = FENCE if is_code else PRE
    first = f"{language}{NEWLINE}" if is_code else ""
    block.text = f"{mark}{first}{protect_white_space(text)}{mark}" if text else None
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
