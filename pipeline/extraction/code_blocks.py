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
    "fragment", "diff-table", "linenums", "react-code-lines",
)  # fmt: skip
_LINES = XPath("count(.//li | .//tr | .//div | .//br)")
_CODE_LINE_TAGS = ("li", "tr", "div", "p", "br")
_LINE_TAGS = ("li", "div", "p")  # around the `code` of one line
_INDENT = re.compile(r"\u00a0|\t|  ")
_FEWEST_LINES = 3  # of code without `pre` and without a highlighter's name
_HIDING = frozenset({"hidden", "aria-hidden"})
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
# What begins a text box that is no code to read: HTML to embed, BBCode, BibTeX.
_EMBEDDED = re.compile(r"\s*[<\[@]")
_CODE_TABLES = XPath("//table[.//td[contains(@class, 'code')]//pre]")
_CODE_LINES = 0.4  # share of lines that look like code for a `pre` without any mark of its language


def show_code_of_text_boxes(tree: HtmlElement) -> None:
    """Make a `pre` of each `textarea` that holds code and no copy of code beside it: browsers show both alike.

    Boxes that a highlighter was to replace (`name=code`) hold code of any kind, others if their lines look like code.
    """
    for box in [each for each in tree.iter("textarea") if _holds_code(each)]:
        longest = "".join(max((box.text or "").splitlines(), key=len, default="").split())
        if "".join("".join(tree.itertext()).split()).count(longest) == 1:
            box.tag = "pre"


def _holds_code(box: _Element) -> bool:
    text = box.text or ""
    if len(box) or not text.strip() or not _HIDING.isdisjoint(box.attrib) or "display:none" in box.get("style", ""):
        return False
    if box.get("name") == "code":
        return True
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) >= _FEWEST_LINES and not _EMBEDDED.match(text) and _are_code(lines)


def protect_code(tree: HtmlElement) -> int:
    """Put marks into all preformatted text; the number of code blocks and inline code elements."""
    elements = list(tree.iter("div", "table", "ol", "ul", "figure"))
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
    """Numbers of the outermost elements without `pre` that hold the lines of one block, by a highlighter or by hand."""
    all_names = "\n".join(names)
    hints = [name for name in _CONTAINER_NAMES if name in all_names]
    by_hand = _find_lines_of_code(elements[0]) if elements else frozenset()
    if not (hints or by_hand):
        return frozenset()
    found: dict[int, _Element] = {}
    for number, name in enumerate(names):
        if elements[number] in by_hand:
            found[number] = elements[number]
        elif any(hint in name for hint in hints) and not set(hints).isdisjoint(name.split()):
            element = elements[number]
            if _LINES(element) and next(element.iter(*PREFORMATTED, "p", "h1", "h2", "h3"), None) is None:
                found[number] = element
    inner = set(found.values())
    return frozenset(
        number for number, element in found.items() if not any(each in inner for each in element.iterancestors())
    )


def _find_lines_of_code(element: _Element) -> frozenset[_Element]:
    """Lists and divisions of the page in which each item is a line of code, some of them indented.

    Without an indent they may be a list of names of options or functions.
    """
    indented = (code for code in element.getroottree().iter("code") if _INDENT.match(code.text or ""))
    lines = (line for code in indented if (line := code.getparent()) is not None and line.tag in _LINE_TAGS)
    blocks = {block for line in lines if (block := line.getparent()) is not None}
    return frozenset(block for block in blocks if len(block) >= _FEWEST_LINES and all(map(_is_line_of_code, block)))


def _is_line_of_code(line: _Element) -> bool:
    """Whether an element holds one `code` and nothing else."""
    around = (line.text, line.tail, line[0].tail) if len(line) == 1 else ("-",)
    return line.tag in _LINE_TAGS and not "".join(filter(None, around)).strip() and line[0].tag == "code"


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
    return _are_code([line for line in "".join(block.itertext()).splitlines() if line.strip()])


def _are_code(lines: Sequence[str]) -> bool:
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
