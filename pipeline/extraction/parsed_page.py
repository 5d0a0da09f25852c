"""A page decoded, parsed and prepared for extraction, within caps on its size. No engine has run yet.

quick_look parses a page to look at its whole text and returns it parsed; extract_text extracts from the same tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from lxml.html import HtmlElement

from classifiers.extraction.parse_html import PARSER_DEPTH, count_elements, count_tags, encode_source, parse_html
from pipeline.documents import Page
from pipeline.extraction.charset import Decoding
from pipeline.extraction.marks import CONTROLS, StructureCounts, plain_text
from pipeline.extraction.prepare_tree import prepare_tree
from pipeline.extraction.repair_text import read_text

_TITLE_CHARACTERS = 300
# Properties of JSON-LD, and Discourse's forum pages: what trafilatura reads when it finds no text in the HTML.
_EMBEDDED = (b"articleBody", b"reviewBody", b"recipeInstructions", b"acceptedAnswer", b"data-preloaded")
_EMBEDDED_TYPES = (b'"HowTo"', b'"Product"', b'"VideoObject"')


class RefusedReason(StrEnum):
    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TOO_DEEP = "too_deep"
    NO_TEXT = "no_text"


class PageRefusedError(Exception):
    """The page is empty or above a cap; with the measurement and the cap."""

    def __init__(self, reason: RefusedReason, value: float | None, threshold: float) -> None:
        super().__init__(reason, value, threshold)
        self.reason, self.value, self.threshold = reason, value, threshold


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """A page with its tree. It stays in the process that parsed it: lxml's trees cannot be pickled."""

    page: Page
    title: str
    decoding: Decoding
    elements: int  # in the page before it was prepared
    counts: StructureCounts
    has_embedded_text: bool  # trafilatura may take text from JSON in the page, which no visitor sees
    _tree: list[HtmlElement] = field(repr=False, compare=False)  # empty once the tree is taken

    def plain_text(self) -> str:
        """All text that is left in the prepared page, without marks."""
        (tree,) = self._tree
        return plain_text(tree)

    def take_tree(self) -> HtmlElement | None:
        """The prepared tree, to be changed by the caller; None from the second call on, because it may be changed."""
        return self._tree.pop() if self._tree else None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a parsed page cannot be pickled; send its `page`")


def parse_page(page: Page, max_bytes: int, max_nodes: int) -> ParsedPage:
    """Check the caps first, then parse and prepare. Raises PageRefusedError."""
    _check_cap(len(page.content), max_bytes, RefusedReason.TOO_LARGE)
    html, decoding = read_text(page.content, page.http_charset)
    source = encode_source(html)
    _check_cap(count_tags(source, max_nodes), max_nodes, RefusedReason.TOO_MANY_NODES)
    tree, too_deep = parse_html(source)
    if too_deep:
        raise PageRefusedError(RefusedReason.TOO_DEEP, None, PARSER_DEPTH)
    if tree is None:
        raise PageRefusedError(RefusedReason.NO_TEXT, 0, 1)
    title, elements = _find_title(tree), count_elements(tree)
    embedded = any(hint in source for hint in (*_EMBEDDED, *_EMBEDDED_TYPES))
    return ParsedPage(page, title, decoding, elements, prepare_tree(tree, source), embedded, [tree])


def _check_cap(value: int, cap: int, reason: RefusedReason) -> None:
    if value > cap:
        raise PageRefusedError(reason, value, cap)


def _find_title(tree: HtmlElement) -> str:
    candidates = (
        *tree.xpath("/html/head/meta[@property='og:title']/@content"),
        *(plain_text(element) for element in tree.iterfind(".//title")),
        *(plain_text(element) for element in tree.iterfind(".//h1")),
    )
    titles = (" ".join(CONTROLS.sub(" ", candidate).split()) for candidate in candidates)
    return next((title for title in titles if title), "")[:_TITLE_CHARACTERS]
