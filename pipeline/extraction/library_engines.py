"""Extraction by libraries, trafilatura and resiliparse: from a prepared tree to text with the marks of `marks.py`.

trafilatura's `deduplicate` is off: its cache lives as long as the process, so the text of a page would depend on the
pages before it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from lxml.html import HtmlElement, tostring
from resiliparse.extract.html2text import extract_plain_text
from trafilatura import bare_extraction
from trafilatura.settings import Extractor

from pipeline.extraction import marks
from pipeline.extraction.rendering import render_body

_WHOLE_PAGE_SHARE = 0.9
_TABS = re.compile(r"\t+")

# From a tree, which it may change, to text with the marks of extraction/marks.py.
LibraryEngine = Callable[[HtmlElement], str]


def build_trafilatura(comments: bool, tables: bool, fallback_below: int) -> LibraryEngine:
    """trafilatura, with its fall-back engines where its rules find fewer characters than `fallback_below`."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it logs every failure; here the ledger records them
    quick, thorough = (
        Extractor(output_format="txt", fast=fast, comments=comments, tables=tables, dedup=False)
        for fast in (True, False)
    )
    resiliparse = build_resiliparse(comments)

    def extract(tree: HtmlElement) -> str:
        text = _main_text(tree, quick)
        if len(text) < fallback_below:
            text = _main_text(tree, thorough)
        return resiliparse(tree) or text if _is_whole_page(text, tree) else text

    return extract


def _is_whole_page(text: str, tree: HtmlElement) -> bool:
    """Whether the text is all text of the page, menus included, in one paragraph: trafilatura's last resort.

    On the gold pages where that happens trafilatura has F1 .71 and resiliparse .80. resiliparse also finds the
    paragraphs, which the filters need.
    """
    if marks.PARAGRAPH in text.strip(marks.PARAGRAPH):
        return False
    everything = sum(map(len, tree.text_content().split()))
    return sum(map(len, text.split())) > _WHOLE_PAGE_SHARE * everything


def _main_text(tree: HtmlElement, options: Extractor) -> str:
    """One run of trafilatura, on a copy of the tree."""
    found: Any = bare_extraction(tree, options=options)
    if found is None:
        return ""
    comments = render_body(found.commentsbody) if options.comments and found.commentsbody is not None else ""
    return render_body(found.body) + marks.PARAGRAPH + comments


def build_resiliparse(comments: bool) -> LibraryEngine:
    """resiliparse, with lists and tables in the shapes of the other engines."""

    def extract(tree: HtmlElement) -> str:
        _write_lists(tree)
        html = tostring(tree, encoding="unicode")
        text = extract_plain_text(html, preserve_formatting=True, main_content=True, comments=comments)
        return marks.PARAGRAPH.join(map(_mark_block, text.split("\n\n")))

    return extract


def _write_lists(tree: HtmlElement) -> None:
    """Turn `ul` lists into lines with a dash: resiliparse would remove every `ul` as a menu."""
    items = [(item, sum(1 for _ in item.iterancestors("ul", "ol"))) for item in tree.iter("li")]
    for item, depth in items:
        if item.getparent().tag == "ul":
            item.text = f"{marks.SPACE * 2 * (depth - 1)}- {(item.text or '').lstrip()}"
            item.tag = "div"
    for unordered in list(tree.iter("ul")):
        unordered.tag = "div"


def _mark_block(block: str) -> str:
    """A paragraph of resiliparse's text with marks: its tab-separated rows become a table."""
    lines = block.split("\n")
    rows = ["\t" in line.strip() for line in lines]
    marked = [f"| {_TABS.sub(' | ', line.strip())} |" if row else line for line, row in zip(lines, rows, strict=True)]
    lists = any(line.lstrip(f" {marks.SPACE}").startswith("- ") for line in lines)
    return marks.TABLE * any(rows) + marks.LIST * lists + marks.LINE.join(marked)
