"""read_warc: every `response` and `conversion` record of a WARC file becomes one Page or one Dropped, in file order.

Other records (warcinfo, request, metadata, revisit, resource) are counted by kind. A damaged part of a file is one
Dropped with file, offset and error; reading continues after it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from pydantic import Field
from warcio.statusandheaders import StatusAndHeaders

from classifiers.urls import host_of, printable_url, registered_domain_of
from pipeline.documents import Dropped, Kind, Page
from pipeline.errors import UserError
from pipeline.reading.content_type import is_html
from pipeline.reading.http_message import (
    HEADER_BYTES,
    BodyDamagedError,
    BodyTooLargeError,
    Message,
    decode_body,
    join_chunks,
    media_type,
    parse_message,
)
from pipeline.reading.listings import sha1_of
from pipeline.reading.units import Unit
from pipeline.reading.warc import (
    WHOLE_FILE,
    DamagedBytes,
    RawRecord,
    read_chosen_records,
    read_fetched_records,
    read_records,
)
from pipeline.rights.headers import RIGHTS_HEADERS
from pipeline.settings import Settings

NAME = "read_warc"
SIGNALS: tuple[str, ...] = ()


class ReadWarcSettings(Settings):
    """Which responses count as pages.

    Common Crawl truncates bodies at 1 MiB (5 MiB since 2025) and trafilatura refuses 20 MB; the mean of 330 real pages
    was 140 kB. Larger bodies are listings, logs or attacks.
    """

    max_body_bytes: int = Field(8 << 20, ge=1 << 10, le=1 << 30, description="most bytes of a body, decoded or not")
    statuses: tuple[int, ...] = Field(
        (200,), description="HTTP status codes of pages; errors and redirects have no text of their own"
    )
    keep_truncated: bool = Field(True, description="keep pages that the crawler cut at its limit (WARC-Truncated)")
    check_digests: bool = Field(
        True,
        description="drop pages that fit none of their record's SHA-1 digests (WARC-Block-Digest, WARC-Payload-Digest)",
    )


class ReadWarcReason(StrEnum):
    """Why a record is not a page."""

    UNREADABLE = "unreadable"  # damaged bytes: the only reason without a page
    NO_URL = "no_url"  # no target URL, or not http(s): dns:, urn:, ...
    HTTP_STATUS = "http_status"
    NOT_HTML = "not_html"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"  # stored or decoded: decompression bombs are dropped here
    BAD_ENCODING = "bad_encoding"  # Content-Encoding that cannot be undone
    EMPTY_BODY = "empty_body"
    WRONG_DIGEST = "wrong_digest"  # not the bytes that the record's header, or the row of the index, names


REASONS = ReadWarcReason


@dataclass(frozen=True, slots=True)
class OtherRecord:
    """A record that holds no page."""

    kind: str  # WARC-Type


def read_unit(unit: Unit, settings: ReadWarcSettings) -> Iterator[Page | Dropped | OtherRecord]:
    """The pages, drops and other records of the unit's byte ranges, in file order."""
    cap = _block_cap(settings)
    if not unit.ranges:
        for found in read_records(unit.path, unit.start, unit.end, block_cap=cap):
            yield _convert(found, unit.name, settings)
    for number, found in read_chosen_records(unit.path, unit.ranges, block_cap=cap):
        converted = _convert(found, unit.name, settings)
        digest = unit.digests[number] if unit.digests else ""
        is_other = digest and isinstance(found, RawRecord) and not _has_digest(found, digest)
        yield _drop_other(converted, digest) if is_other else converted


def _has_digest(record: RawRecord, digest: str) -> bool:
    """Whether the payload of a response has this SHA-1 in base32; other records, and cut blocks, cannot be checked.

    An index has the digest of the body as it is stored. Some writers store chunks, and hash what they hold.
    """
    if record.length > len(record.block) or (record.headers.get_header("WARC-Type") or "").strip() != "response":
        return True
    message = parse_message(record.block)
    return any(digest == base32_sha1(body) for body in (message.body, join_chunks(message)))


def base32_sha1(payload: bytes) -> str:
    """The digest of a payload as WARC files and Common Crawl's index have it.

    >>> base32_sha1(b"")
    '3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ'
    """
    return base64.b32encode(hashlib.sha1(payload, usedforsecurity=False).digest()).decode()


def _drop_other(found: Page | Dropped | OtherRecord, digest: str) -> Page | Dropped | OtherRecord:
    if isinstance(found, OtherRecord):
        return found
    page = found.record if isinstance(found, Dropped) else found
    return Dropped(
        page, NAME, ReadWarcReason.WRONG_DIGEST, detail=f"the index names another payload, of SHA-1 {digest}"
    )


def read_record(path: str, offset: int, *, name: str = "", settings: ReadWarcSettings | None = None) -> Page | Dropped:
    """The page that a run read at `offset`. Raises UserError if there is none."""
    settings = settings or ReadWarcSettings()
    cap = _block_cap(settings)
    found = next(read_records(path, offset, offset + 1, block_cap=cap, record_at_start=True), None)
    if found is None or isinstance(found, DamagedBytes):
        # In a member with many records, or compressed with a zstd dictionary: it can only be read from the start.
        everything = read_records(path, 0, WHOLE_FILE, block_cap=cap)
        found = next((record for record in everything if record.offset == offset), None)
    page = _convert(found, name or path, settings) if found else None
    if page is None or isinstance(page, OtherRecord):
        raise UserError(f"{path}: no page at offset {offset}" + (f", but a {page.kind} record" if page else ""))
    return page


def read_stored_record(data: bytes, name: str, settings: ReadWarcSettings) -> Page | Dropped:
    """The page of a record that was fetched alone. Raises UserError if the bytes are not one record with a page."""
    found = next(read_fetched_records(data, _block_cap(settings)), None)
    if found is None or isinstance(found, DamagedBytes):
        raise UserError(f"{name}: the bytes fetched are no WARC record ({found.error if found else 'none'})")
    page = _convert(found, name, settings)
    if isinstance(page, OtherRecord):
        raise UserError(f"{name}: the bytes fetched are a {page.kind} record")
    return page


def _block_cap(settings: ReadWarcSettings) -> int:
    return settings.max_body_bytes + HEADER_BYTES


def _convert(found: RawRecord | DamagedBytes, name: str, settings: ReadWarcSettings) -> Page | Dropped | OtherRecord:
    if isinstance(found, DamagedBytes):
        page = Page(url="", fetched_at="", warc_file=name, warc_offset=found.offset, content=b"")
        return Dropped(page, NAME, ReadWarcReason.UNREADABLE, detail=f"{name} at byte {found.offset}: {found.error}")
    kind = (found.headers.get_header("WARC-Type") or "unknown").strip().lower()
    if kind not in ("response", "conversion"):
        return OtherRecord(kind if re.fullmatch(r"[a-z]{1,20}", kind) else "unknown")
    read = _read_response if kind == "response" else _read_conversion
    result = read(found, name, settings)
    return _check_digests(result, found) if settings.check_digests and isinstance(result, Page) else result


def _check_digests(page: Page, record: RawRecord) -> Page | Dropped:
    """A page is kept if one digest fits: some writers have changed the HTTP headers and not the block's digest, and the
    payload of which they have the digest is what is stored, what the chunks hold, or what was decoded.
    """
    headers = record.headers
    block, payload = (sha1_of(headers.get_header(f"WARC-{part}-Digest")) for part in ("Block", "Payload"))
    if headers.get_header("WARC-Truncated"):
        payload = ""  # it may be that of the whole
    if not (block or payload) or block == base32_sha1(record.block):
        return page
    is_response = page.kind is not Kind.TEXT
    if payload and (payload == base32_sha1(page.content) or (is_response and _has_digest(record, payload))):
        return page
    detail = f"the record's header names other bytes, of SHA-1 {block or payload}"
    return Dropped(page, NAME, ReadWarcReason.WRONG_DIGEST, detail=detail)


def _read_response(record: RawRecord, name: str, settings: ReadWarcSettings) -> Page | Dropped:
    message = parse_message(record.block)
    page = _make_page(record, name, message.header("Date"))
    rights = message.select_headers(RIGHTS_HEADERS)
    page = replace(page, content=message.body, http_charset=message.charset, rights_headers=rights)
    if not page.host:
        return Dropped(page, NAME, ReadWarcReason.NO_URL, detail=page.url[:200])
    if message.status is not None and message.status not in settings.statuses:
        return Dropped(page, NAME, ReadWarcReason.HTTP_STATUS, value=message.status)
    cap = settings.max_body_bytes
    try:
        page, failure = replace(page, content=decode_body(message, cap)), None
    except BodyTooLargeError as error:
        failure = Dropped(page, NAME, ReadWarcReason.TOO_LARGE, threshold=cap, detail=str(error))
    except BodyDamagedError as error:
        failure = Dropped(
            page, NAME, ReadWarcReason.BAD_ENCODING, detail=f"{message.header('Content-Encoding')}: {error}"[:200]
        )
    if not page.content:
        return failure or Dropped(page, NAME, ReadWarcReason.EMPTY_BODY)
    # Bytes that could not be decoded do not show whether they are HTML.
    not_html = _check_html(record.headers, message, page, b"" if failure else page.content)
    return not_html or failure or _check_body(page, record, settings)


def _check_html(headers: StatusAndHeaders, message: Message, page: Page, body: bytes) -> Dropped | None:
    identified = media_type(headers.get_header("WARC-Identified-Payload-Type") or "")
    if is_html(identified, message.media_type, body):
        return None
    return Dropped(page, NAME, ReadWarcReason.NOT_HTML, detail=(identified or message.media_type or "no type")[:100])


def _read_conversion(record: RawRecord, name: str, settings: ReadWarcSettings) -> Page | Dropped:
    """A page of text that Common Crawl extracted (WET); the format is always UTF-8."""
    page = replace(_make_page(record, name, ""), content=record.block, kind=Kind.TEXT, http_charset="utf-8")
    content_type = media_type(record.headers.get_header("Content-Type") or "")
    if not page.host:
        return Dropped(page, NAME, ReadWarcReason.NO_URL, detail=page.url[:200])
    if content_type not in ("text/plain", ""):
        return Dropped(page, NAME, ReadWarcReason.NOT_HTML, detail=content_type[:100])
    return _check_body(page, record, settings)


def _check_body(page: Page, record: RawRecord, settings: ReadWarcSettings) -> Page | Dropped:
    cap = settings.max_body_bytes
    if len(page.content) > cap or record.length > _block_cap(settings):
        return Dropped(page, NAME, ReadWarcReason.TOO_LARGE, value=record.length, threshold=cap)
    if not page.content.strip():
        return Dropped(page, NAME, ReadWarcReason.EMPTY_BODY)
    why = (record.headers.get_header("WARC-Truncated") or "").strip()
    if why and not settings.keep_truncated:
        return Dropped(page, NAME, ReadWarcReason.TRUNCATED, detail=why[:100])
    return page


def _make_page(record: RawRecord, name: str, http_date: str) -> Page:
    headers = record.headers
    url = (headers.get_header("WARC-Target-URI") or headers.get_header("uri") or "").strip()
    url = printable_url(url.removeprefix("<").removesuffix(">"))  # some versions of wget put brackets around it
    host = host_of(url) if url[:8].lower().startswith(("http://", "https://")) else ""
    date = headers.get_header("WARC-Date") or headers.get_header("archive-date") or ""
    return Page(
        url=url,
        fetched_at=parse_date(date) or _parse_http_date(http_date),
        warc_file=name,
        warc_offset=record.offset,
        warc_length=record.stored,
        content=b"",
        host=host,
        registered_domain=registered_domain_of(host),
    )


def parse_date(date: str) -> str:
    """From ISO 8601 (WARC 1.1 allows fractions) or the 14 digits of ARC; "" if invalid, as 2009-03-67T15:35:34Z."""
    text = date.strip()
    try:
        moment = (
            datetime.strptime(text, "%Y%m%d%H%M%S") if re.fullmatch(r"\d{14}", text) else datetime.fromisoformat(text)
        )
        return _format_utc(moment)
    except (ValueError, OverflowError):
        return ""


def _parse_http_date(date: str) -> str:
    try:
        return _format_utc(parsedate_to_datetime(date)) if date else ""
    except (ValueError, OverflowError, TypeError, IndexError):
        return ""


def _format_utc(moment: datetime) -> str:
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
