"""Element names and small operations on a parsed page that several steps of `prepare_tree` share."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.etree import XPath, _Element

LISTS = ("ul", "ol", "dl")
BOXES = (*LISTS, "table", "div", "section", "nav", "aside", "footer", "header")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
BLOCKS = frozenset({*BOXES, *_HEADINGS, "p", "pre", "blockquote", "hr", "figure", "center", "form", "article", "main"})
STRETCH = 50  # characters of text in one piece: too long for a menu
_STRETCHES = XPath(f"//text()[string-length() >= {STRETCH}]")


def find_stretches(tree: _Element) -> Iterator[tuple[str, _Element | None]]:
    """Every text node of at least `STRETCH` characters, with the element that contains it."""
    for text in _STRETCHES(tree):
        yield text, text.getparent().getparent() if text.is_tail else text.getparent()


def count_letters(text: str) -> int:
    """Characters that are not white space."""
    return len("".join(text.split()))


def remove_element(element: _Element) -> None:
    """Remove `element` from its tree and leave the text that follows it."""
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
