"""The extraction engines behind one function: from a parsed page to its text, the structures in it, and signals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal

from lxml.html import document_fromstring

from classifiers.extraction.model import PAGE_TYPES, ExtractionModel, load_extraction_model
from pipeline.extraction.marks import StructureCounts
from pipeline.extraction.parsed_page import ParsedPage
from pipeline.extraction.render_nodes import TextFormat, render
from pipeline.extraction.rendering import replace_marks

EngineName = Literal["learned", "trafilatura", "resiliparse"]
Engine = Callable[[ParsedPage], "Extracted"]

_WORD = re.compile(r"\w+")
_OF_THE_PAGE = 0.9  # share of a text's words that are in the page's HTML: it does not come from JSON

LEARNED_SIGNALS = ("page_type", "expected_f1", "kept_share")


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a page."""

    text: str
    page_counts: StructureCounts
    text_counts: StructureCounts
    signals: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """What the settings of extract_text say about engines."""

    name: EngineName
    text_format: TextFormat
    recall_weight: float
    fallback_below: int
    comments: bool
    tables: bool


def build_engine(options: ExtractionOptions, model: ExtractionModel | None = None) -> Engine:
    """Load the engine, with the shipped model unless another is given."""
    if options.name == "learned":
        return _build_learned(options, model or load_extraction_model())
    return _load_library(options.name, options, warm=True)


def _load_library(name: EngineName, options: ExtractionOptions, *, warm: bool = False) -> Engine:
    """Imported here: trafilatura takes 0.3 s, and the learned engine seldom needs it.

    `warm` runs it once, because trafilatura loads its word lists, 0.5 s, on the first short page.
    """
    from pipeline.extraction.library_engines import build_resiliparse, build_trafilatura

    if name == "resiliparse":
        library = build_resiliparse(options.comments)
    else:
        library = build_trafilatura(options.comments, options.tables, options.fallback_below)
    if warm:
        library(document_fromstring("<p>warm</p>"))

    def extract(parsed: ParsedPage) -> Extracted:
        tree, counts = parsed.take_prepared()
        text, text_counts = replace_marks(library(tree))
        return Extracted(text, counts, text_counts)

    return extract


def _build_learned(options: ExtractionOptions, model: ExtractionModel) -> Engine:
    """The learned engine. trafilatura reads JSON in pages whose HTML has little text, and its longer text is taken.

    Where trafilatura read the HTML as well, the learned choice of it stands: F1 on WCXB's products .705 -> .710.
    """

    load_trafilatura = cache(partial(_load_library, "trafilatura", options))

    def extract(parsed: ParsedPage) -> Extracted:
        blocks = parsed.blocks
        main = model.find_main_content(blocks, parsed.page.url, options.recall_weight)
        choice = main.choice
        text, counts = render(blocks, choice.chosen.tolist(), options.text_format, choice.likely.tolist())
        signals = {
            "page_type": float(PAGE_TYPES.index(main.page_type) + 1),
            "expected_f1": choice.expected_f1,
            "kept_share": choice.kept_share,
        }
        found = Extracted(text, parsed.count_structures(), counts, signals)
        if len(text) < options.fallback_below and parsed.has_embedded_text:
            embedded = load_trafilatura()(parsed)
            if len(embedded.text) > len(text) and not _is_of_page(embedded.text, blocks.text):
                return embedded
        return found

    return extract


def _is_of_page(text: str, page: str) -> bool:
    words = Counter(_WORD.findall(text.lower()))
    return (words & Counter(_WORD.findall(page.lower()))).total() >= _OF_THE_PAGE * words.total()
