"""Wrap text between the blocks of a page into paragraphs."""

from __future__ import annotations

from lxml.etree import _Element
from lxml.html import HtmlElement

from pipeline.extraction.dom import BLOCKS, count_letters, find_stretches

_PARENTS = frozenset({"body", "main", "article", "section", "div", "td", "center", "form", "font", "span"})


def wrap_loose_text(tree: HtmlElement) -> None:
    """Text that stands directly between the blocks of an element becomes a paragraph: the engine would skip it."""
    holders: dict[_Element, None] = {}
    for _, holder in find_stretches(tree):
        if holder is not None and holder.tag in _PARENTS and any(child.tag in BLOCKS for child in holder):
            holders[holder] = None
    for holder in holders:
        _wrap(holder)


def _wrap(holder: _Element) -> None:
    children = list(holder)
    paragraph = holder.makeelement("p")
    paragraph.text, holder.text = holder.text, None
    for child in children:
        if child.tag not in BLOCKS:
            paragraph.append(child)
        else:
            following = holder.makeelement("p")
            following.text, child.tail = child.tail, None
            if len(paragraph) or count_letters(paragraph.text or ""):
                child.addprevious(paragraph)
            paragraph = following
    if count_letters("".join(paragraph.itertext())):  # images without text after the last block stay out of the page
        holder.append(paragraph)
