"""A page decoded and parsed, within caps on its size: one parse for quick_look, counts and extraction.

quick_look looks at the whole text of a page's blocks and returns it parsed; extract_text extracts from the same tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import chain
from typing import NoReturn

import numpy as np
from lxml.html import HtmlElement

from classifiers.extraction.blocks import BLOCK_TAGS, CODE, FORMULA, TAG_NUMBER, PageBlocks, read_blocks
from classifiers.extraction.parse_html import PARSER_DEPTH, count_elements, count_tags, encode_source, parse_html
from pipeline.documents import Page, Rights
from pipeline.extraction.charset import Decoding
from pipeline.extraction.code_blocks import show_code_of_text_boxes
from pipeline.extraction.formulas import count_formulas_in_text
from pipeline.extraction.layout_tables import holds_data
from pipeline.extraction.marks import CONTROLS, StructureCounts, plain_text
from pipeline.extraction.prepare_tree import prepare_tree
from pipeline.extraction.protected_addresses import SIGNS, show_protected_addresses
from pipeline.extraction.repair_text import read_text
from pipeline.extraction.self_closed_code import open_self_closed_code
from pipeline.rights.read import read_rights

_TITLE_CHARACTERS = 300
# Properties of JSON-LD, and Discourse's forum pages: what trafilatura reads when it finds no text in the HTML.
_EMBEDDED = (b"articleBody", b"reviewBody", b"recipeInstructions", b"acceptedAnswer", b"data-preloaded")
_FORMULA_SIGNS = ("\\(", "\\[", "$$")  # what authors write around formulas for MathJax
_PREFORMATTED = [TAG_NUMBER[tag] for tag in ("pre", "xmp", "listing", "plaintext")]
_IS_PREFORMATTED = np.isin(np.arange(len(BLOCK_TAGS)), _PREFORMATTED)
_LISTS = [TAG_NUMBER[tag] for tag in ("ul", "ol", "dl")]
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


@dataclass
class ParsedPage:
    """A page with its tree. It stays in the process that parsed it: lxml's trees cannot be pickled."""

    page: Page
    title: str
    decoding: Decoding
    elements: int
    _source: bytes = field(repr=False, compare=False)
    _tree: HtmlElement | None = field(repr=False, compare=False)  # None once it is taken

    @property
    def has_embedded_text(self) -> bool:
        """Whether trafilatura may take text from JSON in the page, which no visitor sees.

        Eight searches in the source, 0.3 ms: asked only of pages with little text.
        """
        return any(hint in self._source for hint in (*_EMBEDDED, *_EMBEDDED_TYPES))

    @cached_property
    def blocks(self) -> PageBlocks:
        """The text blocks of the page, before its tree is taken."""
        return read_blocks(self._parsed_tree())

    def read_rights(self) -> Rights:
        """What the page says about its use, before its tree is taken."""
        return read_rights(self.page.rights_headers, self._parsed_tree(), self._source)

    def count_structures(self) -> StructureCounts:
        """The structures of the page by its blocks: `pre` and blocks with inline code, formulas, data tables, lists."""
        blocks = self.blocks
        tags = np.bincount(blocks.tags, minlength=len(BLOCK_TAGS))
        formulas = blocks.piece_kinds.count(FORMULA)
        text = blocks.text
        if any(sign in text for sign in _FORMULA_SIGNS):
            formulas += count_formulas_in_text(text)
        inline_code = ((blocks.marks & CODE) > 0) & ~_IS_PREFORMATTED[blocks.tags[blocks.elements]]
        code = int(tags[_PREFORMATTED].sum()) + int(inline_code.sum())
        tables = sum(holds_data(blocks.nodes[table]) for table in np.flatnonzero(blocks.tags == TAG_NUMBER["table"]))
        return StructureCounts(code, formulas, tables, int(tags[_LISTS].sum()))

    def take_prepared(self) -> tuple[HtmlElement, StructureCounts]:
        """The tree, prepared for an engine that may change it, and its structures. It can be taken once."""
        tree, self._tree = self._parsed_tree(), None
        return tree, prepare_tree(tree, self._source)

    @property
    def is_taken(self) -> bool:
        return self._tree is None

    def _parsed_tree(self) -> HtmlElement:
        if self._tree is None:
            raise RuntimeError("the tree of this page was taken by an engine, which may have changed it")
        return self._tree

    def __reduce__(self) -> NoReturn:
        raise TypeError("a parsed page cannot be pickled; send its `page`")


def parse_page(page: Page, max_bytes: int, max_nodes: int) -> ParsedPage:
    """Check the caps first, then parse. Raises PageRefusedError."""
    _check_cap(len(page.content), max_bytes, RefusedReason.TOO_LARGE)
    html, decoding = read_text(page.content, page.http_charset)
    source = open_self_closed_code(encode_source(html))
    _check_cap(count_tags(source, max_nodes), max_nodes, RefusedReason.TOO_MANY_NODES)
    tree, too_deep = parse_html(source)
    if too_deep:
        raise PageRefusedError(RefusedReason.TOO_DEEP, None, PARSER_DEPTH)
    if tree is None:
        raise PageRefusedError(RefusedReason.NO_TEXT, 0, 1)
    if b"<textarea" in source or b"<TEXTAREA" in source:
        show_code_of_text_boxes(tree)
    if any(sign in source for sign in SIGNS):
        show_protected_addresses(tree)
    title, elements = _find_title(tree), count_elements(tree)
    return ParsedPage(page, title, decoding, elements, source, tree)


def _check_cap(value: int, cap: int, reason: RefusedReason) -> None:
    if value > cap:
        raise PageRefusedError(reason, value, cap)


def _find_title(tree: HtmlElement) -> str:
    candidates = chain(
        (meta.get("content", "") for meta in tree.iterfind("head/meta[@property='og:title']")),
        (plain_text(element) for element in tree.iter("title")),
        (plain_text(element) for element in tree.iter("h1")),
    )
    titles = (" ".join(CONTROLS.sub(" ", candidate).split()) for candidate in candidates)
    return next((title for title in titles if title), "")[:_TITLE_CHARACTERS]
