"""extract_text: the main text of a page, with its code, tables, lists and formulas.

The engine is trafilatura (its `deduplicate` is off: that option is a cache of the whole process, and the text of a page
would depend on the pages before it) or resiliparse. Caps on bytes, nodes and depth come before the costly work, the CPU
budget from outside (pipeline/isolate.py). Text of WET records passes through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal

from lxml.html import HtmlElement, tostring
from pydantic import Field
from resiliparse.extract.html2text import extract_plain_text
from trafilatura import bare_extraction
from trafilatura.settings import Extractor

import pipeline.settings
from pipeline import markup, rendering
from pipeline.charset import decode
from pipeline.documents import Document, Dropped, Kind, Page
from pipeline.isolate import Loss, Lost

NAME = "extract_text"
TITLE_CHARACTERS = 300


class Settings(pipeline.settings.Settings):
    """Caps are far above what real pages have: of 11,360 of them, none of real content comes near."""

    engine: Literal["trafilatura", "resiliparse"] = "trafilatura"
    fast: bool = False  # trafilatura without its fall-back engines
    comments: bool = False  # readers' comments below an article; posts of a forum are content either way
    tables: bool = True
    max_bytes: int = Field(10_000_000, gt=0)
    max_nodes: int = Field(100_000, gt=0)  # elements in the source
    min_characters: int = Field(1, ge=1)
    cpu_seconds: float = Field(10.0, gt=0)  # budget of all page stages together: base ...
    cpu_seconds_per_mb: float = Field(10.0, ge=0)  # ... and per megabyte of content
    wall_seconds: float = Field(300.0, gt=0)
    memory_bytes: int = Field(1_500_000_000, gt=100_000_000)  # of the page process, above what it uses when warm


class Reason(StrEnum):
    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TOO_DEEP = "too_deep"
    NO_TEXT = "no_text"
    TOO_SHORT = "too_short"
    CPU_BUDGET = "cpu_budget"
    CRASHED = "crashed"
    EXTRACTION_ERROR = "extraction_error"


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


def build(settings: Settings) -> Callable[[Page], Document | Dropped]:
    """The stage, warm: trafilatura loads its word lists on the first page that needs them."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it reports every page; here that is the ledger's work
    engine = _trafilatura(settings) if settings.engine == "trafilatura" else _resiliparse(settings)
    engine(markup.parse(b"<p>warm</p>")[0])
    return lambda page: _extract(page, settings, engine)


def dropped_by_worker(page: Page, lost: Lost) -> Dropped:
    """The fate of a page that the page process lost."""
    reason = Reason.CPU_BUDGET if lost.how is Loss.CPU_BUDGET else Reason.CRASHED
    threshold = lost.cpu_budget if lost.how is Loss.CPU_BUDGET else None
    return Dropped(page, NAME, reason, threshold=threshold, detail=lost.detail)


class _RefusedError(Exception):
    """A page that does not come through, with its reason, the measurement and the limit."""

    def __init__(
        self, reason: Reason, value: float | None = None, threshold: float | None = None, detail: str = ""
    ) -> None:
        self.fate = (reason, value, threshold, detail)


def _extract(page: Page, settings: Settings, engine: Callable[[HtmlElement], str]) -> Document | Dropped:
    try:
        if page.kind is Kind.TEXT:
            return _passed_through(page, settings)
        return _extracted(page, settings, engine)
    except _RefusedError as refused:
        return Dropped(page, NAME, *refused.fate)
    except MemoryError:
        raise  # the page process ends with it, and the page gets another try
    except Exception as error:  # whatever the engine meets on hostile input costs this page
        return Dropped(page, NAME, Reason.EXTRACTION_ERROR, detail=f"{type(error).__name__}: {error}"[:500])


def _extracted(page: Page, settings: Settings, engine: Callable[[HtmlElement], str]) -> Document:
    html, how = _decoded(page, settings)
    source = markup.source_bytes(html)
    _at_most(markup.count_tags(source, settings.max_nodes), settings.max_nodes, Reason.TOO_MANY_NODES)
    tree, too_deep = markup.parse(source)
    if too_deep:
        raise _RefusedError(Reason.TOO_DEEP, threshold=markup.PARSER_DEPTH)
    if tree is None:
        raise _RefusedError(Reason.NO_TEXT, 0, 1)
    title = _title(tree)
    nodes = markup.count_elements(tree)
    before = markup.prepare(tree, source)
    text, after = rendering.finish(engine(tree))
    signals = {"dom_nodes": nodes, **_named("dom", before), **_named("text", after)}
    return _document(page, settings, title, text, {**signals, "charset_step": list(type(how)).index(how)})


def _passed_through(page: Page, settings: Settings) -> Document:
    text, how = _decoded(page, settings)
    lines = (line.rstrip() for line in markup.CONTROLS.sub("", text).splitlines())
    return _document(page, settings, "", "\n".join(lines).strip(), {"charset_step": list(type(how)).index(how)})


def _decoded(page: Page, settings: Settings) -> tuple[str, StrEnum]:
    _at_most(len(page.content), settings.max_bytes, Reason.TOO_LARGE)
    text, how = decode(page.content, page.http_charset)
    return text, how


def _document(page: Page, settings: Settings, title: str, text: str, signals: dict[str, float]) -> Document:
    if not text:
        raise _RefusedError(Reason.NO_TEXT, 0, 1)
    if len(text) < settings.min_characters:
        raise _RefusedError(Reason.TOO_SHORT, len(text), settings.min_characters)
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


def _at_most(value: int, threshold: int, reason: Reason) -> None:
    if value > threshold:
        raise _RefusedError(reason, value, threshold)


def _named(prefix: str, counts: markup.Counts) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(counts, name) for name in ("code", "formulas", "tables", "lists")}


def _title(tree: HtmlElement) -> str:
    candidates = (
        *tree.xpath("//head/meta[@property='og:title']/@content"),
        *(element.text_content() for element in tree.iterfind(".//title")),
        *(element.text_content() for element in tree.iterfind(".//h1")),
    )
    titles = (" ".join(candidate.split()) for candidate in candidates)
    return next((title for title in titles if title), "")[:TITLE_CHARACTERS]


def _trafilatura(settings: Settings) -> Callable[[HtmlElement], str]:
    options = Extractor(
        output_format="txt", fast=settings.fast, comments=settings.comments, tables=settings.tables, dedup=False
    )

    def extract(tree: HtmlElement) -> str:
        found: Any = bare_extraction(tree, options=options)
        if found is None:
            return ""
        comments = rendering.render(found.commentsbody) if settings.comments and found.commentsbody is not None else ""
        return rendering.render(found.body) + markup.PARAGRAPH + comments

    return extract


def _resiliparse(settings: Settings) -> Callable[[HtmlElement], str]:
    def extract(tree: HtmlElement) -> str:
        html = tostring(tree, encoding="unicode")
        text = extract_plain_text(html, preserve_formatting=True, main_content=True, comments=settings.comments)
        return text.replace("\n\n", markup.PARAGRAPH).replace("\n", markup.LINE)

    return extract
