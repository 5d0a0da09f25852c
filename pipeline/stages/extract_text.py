"""extract_text: the main text of a page, with its code, tables, lists and formulas.

The engine is our learned one, trafilatura or resiliparse (pipeline/extraction/engines). Caps on bytes, tags and depth
are checked before the page is parsed; the page process limits the CPU time (pipeline/page_process). WET records hold
text and pass unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from classifiers.artifacts import default_folder, model_files
from pipeline.documents import Document, Dropped, Kind, Page, Rights
from pipeline.extraction import marks
from pipeline.extraction.charset import Decoding
from pipeline.extraction.engines import LEARNED_SIGNALS, Engine, EngineName, ExtractionOptions, build_engine
from pipeline.extraction.parsed_page import PageRefusedError, ParsedPage, parse_page
from pipeline.extraction.render_nodes import TextFormat
from pipeline.extraction.repair_text import read_text
from pipeline.rights.read import read_rights
from pipeline.settings import Settings
from pipeline.text import bound_white_space

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
    *LEARNED_SIGNALS,
)


class ExtractTextSettings(Settings):
    """The extraction engine and caps on a page.

    trafilatura's fall-back engines (readability, jusText) run only where its own rules find little. Running them on
    every page takes a third longer, changes 1 text in 25, and leaves F1 on 700 gold pages at .893.
    """

    engine: EngineName = Field("learned", description="what extracts the text: our learned model or a library")
    text_format: TextFormat = Field("text", description="plain text or Markdown; the learned engine writes both")
    recall_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        allow_inf_nan=False,
        description="learned engine: what recall counts against precision; 0.5 keeps less, 2 keeps more of a page",
    )
    fallback_below: int = Field(
        800,
        ge=0,
        description="characters of text below which trafilatura's fall-back engines run as well; below which the "
        "learned engine lets trafilatura read text from JSON in the page",
    )
    comments: bool = Field(
        False,
        description="trafilatura, resiliparse: keep readers' comments below articles; forum posts are always kept",
    )
    tables: bool = Field(True, description="trafilatura: keep tables of data")
    max_bytes: int = Field(10_000_000, gt=0, description="most bytes of a page; most real pages have 0.1 MB")
    max_nodes: int = Field(100_000, gt=0, description="most tags of a page; most real pages have 1,500")
    min_characters: int = Field(25, ge=1, description="fewest characters of text; filter_heuristics has stricter rules")

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.text_format != "text" and self.engine != "learned":
            raise ValueError(f'text_format "{self.text_format}" needs engine "learned": {self.engine} writes text')
        return self


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
    """The extraction model, for the learned engine; the libraries include their own word lists."""
    return model_files(default_folder("extraction")) if settings.engine == "learned" else []


def build(settings: ExtractTextSettings) -> Callable[[Page | ParsedPage], Document | Dropped]:
    """Load the engine."""
    engine = build_engine(
        ExtractionOptions(
            name=settings.engine,
            text_format=settings.text_format,
            recall_weight=settings.recall_weight,
            fallback_below=settings.fallback_below,
            comments=settings.comments,
            tables=settings.tables,
        )
    )

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
    record: Page | ParsedPage, page: Page, settings: ExtractTextSettings, engine: Engine
) -> Document | Dropped:
    if isinstance(record, ParsedPage) and not record.is_taken:
        parsed = record
    else:
        parsed = parse_page(page, settings.max_bytes, settings.max_nodes)
    rights = parsed.read_rights()
    found = engine(parsed)
    signals = {
        **_name_counts("dom", found.page_counts),
        **_name_counts("text", found.text_counts),
        **found.signals,
        "dom_nodes": parsed.elements,
        "charset_step": _charset_step(parsed.decoding),
    }
    return _make_document(page, settings, parsed.title, found.text, signals, rights)


def _pass_text(page: Page, settings: ExtractTextSettings) -> Document | Dropped:
    if len(page.content) > settings.max_bytes:
        return Dropped(page, NAME, ExtractTextReason.TOO_LARGE, len(page.content), settings.max_bytes)
    text, decoding = read_text(page.content, page.http_charset)
    lines = (line.rstrip() for line in marks.CONTROLS.sub("", text).splitlines())
    signals = {"charset_step": _charset_step(decoding)}
    return _make_document(page, settings, "", "\n".join(lines).strip(), signals, read_rights(page.rights_headers))


def _charset_step(decoding: Decoding) -> float:
    """Position in `Decoding`: 0 byte order mark, 1 HTTP header, 2 meta, 3 UTF-8, 4 detected, 5 replaced."""
    return float(list(Decoding).index(decoding))


def _make_document(
    page: Page,
    settings: ExtractTextSettings,
    title: str,
    text: str,
    signals: dict[str, float],
    rights: Rights,
) -> Document | Dropped:
    text = bound_white_space(text)
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
        warc_length=page.warc_length,
        rights=rights,
    )


def _name_counts(prefix: str, counts: marks.StructureCounts) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(counts, name) for name in ("code", "formulas", "tables", "lists")}
