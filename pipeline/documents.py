"""The records that flow through the page stages, and what each stage returns.

    read_warc               bytes of a WARC file -> Page | Dropped
    read_documents          a line, row or HTML file -> Page | Dropped
    suppress                Page -> Page | Dropped
    block_urls              Page -> Page | Dropped
    quick_look              Page -> ParsedPage | Page | Dropped       (ParsedPage: extraction/parsed_page.py)
    extract_text            ParsedPage | Page -> Document | Dropped
    check_rights            Document -> Document | Dropped
    identify_language,      Document -> Document | Dropped
    scrub_pii, filter_heuristics, decontaminate, score_quality, tag_domain, custom_rules

A page stage is a plain function of one frozen record; stages/protocol.py describes its module. It does not use Beam, so
a worker, `gristmill explain`, a notebook and a unit test all run the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b


class Kind(StrEnum):
    """What the captured bytes are: HTML (or XHTML) to extract text from, or text extracted by Common Crawl (WET)."""

    HTML = "html"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Page:
    """One capture of one page, decoded from its WARC record, or one document of another file."""

    url: str
    fetched_at: str  # ISO 8601, UTC, to the second: 2026-10-01T12:00:00Z
    warc_file: str  # the input file's name as the manifest lists it
    warc_offset: int  # bytes from the start of that file to the record's (compressed) first byte; Parquet: the row
    content: bytes  # body with transfer and content encodings undone
    kind: Kind = Kind.HTML
    http_charset: str | None = None  # charset parameter of the Content-Type header, if any
    host: str = ""  # lower-case host name of `url`
    registered_domain: str = ""  # public suffix plus one label; the host where there is none (an IP address)
    warc_length: int | None = None  # bytes from `warc_offset` to the record's end; None: it cannot be fetched alone
    rights_headers: tuple[tuple[str, str], ...] = ()  # HTTP headers that say who may use the page (rights/headers.py)

    @property
    def id(self) -> str:
        """32 hex digits of BLAKE2b over URL, time and bytes: the same capture has the same id on every machine."""
        digest = blake2b(digest_size=16)
        for part in (self.url.encode(), self.fetched_at.encode(), self.content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Rights:
    """What a page says about its use: opt-outs and license, each with the place where it was found."""

    opt_outs: tuple[str, ...] = ()  # "place:signal", sorted: header:noindex, meta:noai, robots.txt:GPTBot
    license: str = ""  # SPDX's name of a Creative Commons license or public-domain mark: CC-BY-SA-4.0, CC0-1.0
    license_place: str = ""  # header, link, meta, json_ld, anchor or footer
    license_disagrees: bool = False  # another place of the page names another license


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one page with all measurements so far. `text` goes into the shards."""

    id: str
    url: str
    fetched_at: str
    warc_file: str
    warc_offset: int
    host: str
    registered_domain: str
    title: str
    text: str  # paragraphs separated by a blank line, lines by \n; ``` fences around code, | tables |, - lists
    language: str = ""  # ISO 639 code of lid.176, "" before identify_language
    language_score: float = 0.0
    quality_score: float = 0.0  # 0 to 1
    education_score: float = 0.0  # 0 to 5
    domain: str = ""
    domain_score: float = 0.0
    kind: str = ""  # of source: news, recipe, forum, ...
    kind_score: float = 0.0
    signals: Mapping[str, float] = field(default_factory=dict)  # every measurement, by its declared name
    warc_length: int | None = None  # as in `Page`
    rights: Rights = Rights()

    def with_signals(self, **signals: float) -> Document:
        """The same document with these measurements added."""
        return replace(self, signals={**self.signals, **signals})


@dataclass(frozen=True, slots=True)
class Halfway:
    """A document as an earlier run had it before a stage; it goes on from there."""

    document: Document
    stage: str  # a page stage, or deduplicate: only the sketch is made


@dataclass(frozen=True, slots=True)
class Dropped:
    """A page that a stage dropped: the stage, one of its reasons, and the measurement that decided."""

    record: Page | Document  # as it was when the stage dropped it
    stage: str
    reason: str  # a member of the stage's REASONS, or the word of a function of the user's
    value: float | None = None  # the measurement
    threshold: float | None = None  # the limit that it exceeds or falls below
    detail: str = ""  # for the reader of the ledger: the list entry that matched, the offending line, the error
    excerpt: str = ""  # text for the report where `record` has none yet
