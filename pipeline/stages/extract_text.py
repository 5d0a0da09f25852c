"""extract_text: the main text of a page, with its code, tables, lists and formulas.

The engine is trafilatura or resiliparse. (trafilatura's `deduplicate` is off: its cache lives as long as the process,
so the text of a page would depend on the pages before it.) Caps on bytes, tags and depth are checked before the page is
parsed; the page process limits the CPU time (pipeline/page_process). WET records hold text and pass unchanged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from lxml.html import HtmlElement, document_fromstring, tostring
from pydantic import Field
from resiliparse.extract.html2text import extract_plain_text
from trafilatura import bare_extraction
from trafilatura.settings import Extractor

from pipeline.documents import Document, Dropped, Kind, Page
from pipeline.extraction import marks
from pipeline.extraction.charset import Decoding
from pipeline.extraction.parsed_page import PageRefusedError, ParsedPage, parse_page
from pipeline.extraction.rendering import render_body, replace_marks
from pipeline.extraction.repair_text import read_text
from pipeline.settings import Settings

NAME = "extract_text"
SIGNALS = (
    "html_bytes",
    "charset_step",
    "dom_nodes",
    "dom_code",
    "dom_formulas",
    "dom_tables",
    "dom_lists",
    "text_code",
    "text_formulas",
    "text_tables",
    "text_lists",
    "text_characters",
)
_WHOLE_PAGE_SHARE = 0.9
_TABS = re.compile(r"\t+")

# From a tree, which it may change, to text with the marks of extraction/marks.py.
ExtractionEngine = Callable[[HtmlElement], str]


class ExtractTextSettings(Settings):
    """The extraction engine and caps on a page.

    trafilatura's fall-back engines (readability, jusText) run only where its own rules find little. Running them on
    every page takes a third longer, changes 1 text in 25, and leaves F1 on 700 gold pages at .893.
    """

    engine: Literal["trafilatura", "resiliparse"] = Field("trafilatura", description="library that extracts the text")
    fallback_below: int = Field(
        800, ge=0, description="characters of text below which trafilatura's fall-back engines run as well"
    )
    comments: bool = Field(False, description="keep readers' comments below articles; forum posts are always kept")
    tables: bool = Field(True, description="keep tables of data")
    max_bytes: int = Field(10_000_000, gt=0, description="most bytes of a page; most real pages have 0.1 MB")
    max_nodes: int = Field(100_000, gt=0, description="most tags of a page; most real pages have 1,500")
    min_characters: int = Field(25, ge=1, description="fewest characters of text; filter_heuristics has stricter rules")


class ExtractTextReason(StrEnum):
    """Why a page gave no document."""

    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TOO_DEEP = "too_deep"
    NO_TEXT = "no_text"
    TOO_SHORT = "too_short"
    EXTRACTION_ERROR = "extraction_error"


REASONS = ExtractTextReason


def files(settings: ExtractTextSettings) -> list[Path]:
    """None: the engines include their own word lists."""
    return []


def build(settings: ExtractTextSettings) -> Callable[[Page | ParsedPage], Document | Dropped]:
    """Build the engine and run it once: trafilatura loads its word lists on the first page that needs them."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it logs every failure; here the ledger records them
    engine = _build_trafilatura(settings) if settings.engine == "trafilatura" else _build_resiliparse(settings)
    engine(document_fromstring("<p>warm</p>"))

    def extract_text(record: Page | ParsedPage) -> Document | Dropped:
        page = record.page if isinstance(record, ParsedPage) else record
        try:
            if page.kind is Kind.TEXT:
                return _pass_text(page, settings)
            return _extract(record, page, settings, engine)
        except PageRefusedError as refused:
            return Dropped(page, NAME, ExtractTextReason(refused.reason), refused.value, refused.threshold)
        except MemoryError:
            raise  # it ends the page process, and the page is tried once more in a new one
        except Exception as error:  # malformed pages cause many kinds of exceptions: only this page is dropped
            return Dropped(
                page, NAME, ExtractTextReason.EXTRACTION_ERROR, detail=f"{type(error).__name__}: {error}"[:500]
            )

    return extract_text


def _extract(
    record: Page | ParsedPage, page: Page, settings: ExtractTextSettings, engine: ExtractionEngine
) -> Document | Dropped:
    parsed = record if isinstance(record, ParsedPage) else None
    tree = parsed.take_tree() if parsed else None
    if parsed is None or tree is None:
        parsed = parse_page(page, settings.max_bytes, settings.max_nodes)
        tree = parsed.take_tree()
    text, counts = replace_marks(engine(tree))
    signals = {"dom_nodes": parsed.elements, **_name_counts("dom", parsed.counts), **_name_counts("text", counts)}
    return _make_document(
        page, settings, parsed.title, text, {**signals, "charset_step": _charset_step(parsed.decoding)}
    )


def _pass_text(page: Page, settings: ExtractTextSettings) -> Document | Dropped:
    if len(page.content) > settings.max_bytes:
        return Dropped(page, NAME, ExtractTextReason.TOO_LARGE, len(page.content), settings.max_bytes)
    text, decoding = read_text(page.content, page.http_charset)
    lines = (line.rstrip() for line in marks.CONTROLS.sub("", text).splitlines())
    return _make_document(page, settings, "", "\n".join(lines).strip(), {"charset_step": _charset_step(decoding)})


def _charset_step(decoding: Decoding) -> float:
    """Position in `Decoding`: 0 byte order mark, 1 HTTP header, 2 meta, 3 UTF-8, 4 detected, 5 replaced."""
    return float(list(Decoding).index(decoding))


def _make_document(
    page: Page, settings: ExtractTextSettings, title: str, text: str, signals: dict[str, float]
) -> Document | Dropped:
    if not text:
        return Dropped(page, NAME, ExtractTextReason.NO_TEXT, 0, 1)
    if len(text) < settings.min_characters:
        return Dropped(page, NAME, ExtractTextReason.TOO_SHORT, len(text), settings.min_characters, excerpt=text)
    return Document(
        id=page.id,
        url=page.url,
        fetched_at=page.fetched_at,
        warc_file=page.warc_file,
        warc_offset=page.warc_offset,
        host=page.host,
        registered_domain=page.registered_domain,
        title=title,
        text=text,
        signals={
            **dict.fromkeys(SIGNALS, 0.0),
            **signals,
            "html_bytes": len(page.content),
            "text_characters": len(text),
        },
    )


def _name_counts(prefix: str, counts: marks.StructureCounts) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(counts, name) for name in ("code", "formulas", "tables", "lists")}


def _build_trafilatura(settings: ExtractTextSettings) -> ExtractionEngine:
    quick, thorough = (
        Extractor(output_format="txt", fast=fast, comments=settings.comments, tables=settings.tables, dedup=False)
        for fast in (True, False)
    )
    resiliparse = _build_resiliparse(settings)

    def extract(tree: HtmlElement) -> str:
        text = _main_text(tree, quick)
        if len(text) < settings.fallback_below:
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


def _build_resiliparse(settings: ExtractTextSettings) -> ExtractionEngine:
    def extract(tree: HtmlElement) -> str:
        _write_lists(tree)
        html = tostring(tree, encoding="unicode")
        text = extract_plain_text(html, preserve_formatting=True, main_content=True, comments=settings.comments)
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
