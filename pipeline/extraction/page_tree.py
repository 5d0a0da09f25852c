"""A page opened for reading: decoded, parsed, within its caps, its code and formulas safe. No engine has run yet.

quick_look and extract_text both need it, so the first hands its work on to the second: `park` and `take`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lxml.html import HtmlElement

from pipeline.documents import Page
from pipeline.extraction import markup
from pipeline.extraction.charset import Decoding, decode

TITLE_CHARACTERS = 300


class Refusal(StrEnum):
    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TOO_DEEP = "too_deep"
    NO_TEXT = "no_text"


class RefusedError(Exception):
    """A page that is not worth or not safe to read, with the measurement and the limit."""

    def __init__(self, refusal: Refusal, value: float | None, threshold: float) -> None:
        super().__init__(refusal, value, threshold)
        self.refusal, self.value, self.threshold = refusal, value, threshold


@dataclass(frozen=True, slots=True)
class PageTree:
    """`tree` is the engine's to change: take it once."""

    tree: HtmlElement
    title: str
    decoding: Decoding
    elements: int  # in the page as it came
    counts: markup.Counts
    embedded_text: bool  # trafilatura may take text from JSON in the page, where no visitor sees it


# Properties of JSON-LD, and Discourse's forum pages: what trafilatura's last resort reads.
_EMBEDDED = (b"articleBody", b"reviewBody", b"recipeInstructions", b"acceptedAnswer", b"data-preloaded")
_EMBEDDED_TYPES = (b'"HowTo"', b'"Product"', b'"VideoObject"')
_parked: dict[int, tuple[Page, PageTree]] = {}  # at most one


def open_page(page: Page, max_bytes: int, max_nodes: int) -> PageTree:
    """The caps come first, the costly steps last. Raises RefusedError."""
    _at_most(len(page.content), max_bytes, Refusal.TOO_LARGE)
    html, decoding = decode(page.content, page.http_charset)
    source = markup.source_bytes(html)
    _at_most(markup.count_tags(source, max_nodes), max_nodes, Refusal.TOO_MANY_NODES)
    tree, too_deep = markup.parse(source)
    if too_deep:
        raise RefusedError(Refusal.TOO_DEEP, None, markup.PARSER_DEPTH)
    if tree is None:
        raise RefusedError(Refusal.NO_TEXT, 0, 1)
    title, elements = _title(tree), markup.count_elements(tree)
    embedded = any(hint in source for hint in (*_EMBEDDED, *_EMBEDDED_TYPES))
    return PageTree(tree, title, decoding, elements, markup.prepare(tree, source), embedded)


def park(page: Page, opened: PageTree) -> None:
    """Keep the tree for the stage that follows on the same page."""
    _parked.clear()
    _parked[id(page)] = (page, opened)


def take(page: Page) -> PageTree | None:
    """The parked tree of this very page, once."""
    found = _parked.pop(id(page), None)
    return found[1] if found and found[0] is page else None


def _at_most(value: int, threshold: int, refusal: Refusal) -> None:
    if value > threshold:
        raise RefusedError(refusal, value, threshold)


def _title(tree: HtmlElement) -> str:
    candidates = (
        *tree.xpath("/html/head/meta[@property='og:title']/@content"),
        *(markup.plain_text(element) for element in tree.iterfind(".//title")),
        *(markup.plain_text(element) for element in tree.iterfind(".//h1")),
    )
    titles = (" ".join(markup.CONTROLS.sub(" ", candidate).split()) for candidate in candidates)
    return next((title for title in titles if title), "")[:TITLE_CHARACTERS]
