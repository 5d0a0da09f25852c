"""Builds WARC records and files for the tests, with warcio, and reads them with the stage read_warc."""

import gzip
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.documents import Dropped, Page
from pipeline.reading.inputs import Input
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import OtherRecord, ReadWarcSettings, read_unit

Found = Page | Dropped | OtherRecord

DATE = "2026-10-01T12:00:00Z"


def html(text: str) -> bytes:
    return f"<!DOCTYPE html><html><head><title>{text}</title></head><body><p>{text}</p></body></html>".encode()


def record(
    body: bytes,
    url: str = "http://example.com/",
    *,
    kind: str = "response",
    status: str = "200 OK",
    http: Sequence[tuple[str, str]] = (("Content-Type", "text/html; charset=utf-8"),),
    warc: dict[str, str] | None = None,
    compressed: bool = True,
) -> bytes:
    """One WARC record, compressed as a gzip member of its own or not."""
    target = io.BytesIO()
    writer = WARCWriter(target, gzip=compressed)
    headers = StatusAndHeaders(status, list(http), protocol="HTTP/1.1") if kind in ("response", "revisit") else None
    if kind == "request":
        headers = StatusAndHeaders("GET / HTTP/1.1", [("Host", "example.com")], is_http_request=True)
    built = writer.create_warc_record(
        url, kind, payload=io.BytesIO(body), http_headers=headers, warc_headers_dict={"WARC-Date": DATE, **(warc or {})}
    )
    writer.write_record(built)
    return target.getvalue()


@cache
def crawl(count: int, *, compressed: bool = True) -> tuple[bytes, ...]:
    """Records of `count` pages: for each its request, its response and its metadata; the responses differ in length."""
    parts = []
    for number in range(count):
        url = f"http://example.com/{number}"
        body = html(f"page {number} " + "words and more words " * (number * 37 % 200))
        parts.append(record(b"", url, kind="request", compressed=compressed))
        parts.append(record(body, url, compressed=compressed))
        parts.append(record(b"fetchTimeMs: 12", url, kind="metadata", compressed=compressed))
    return tuple(parts)


def write(path: Path, parts: Sequence[bytes]) -> str:
    """Writes the records to a file and returns its path."""
    path.write_bytes(b"".join(parts))
    return str(path)


def one_gzip_member(parts: Sequence[bytes]) -> bytes:
    """All records in one gzip member, like the output of `gzip file.warc`."""
    return gzip.compress(b"".join(parts), mtime=0)


def zstd_frames(parts: Sequence[bytes]) -> bytes:
    """Each record as a zstd frame with a checksum."""
    return b"".join(zstandard.ZstdCompressor(write_checksum=True).compress(part) for part in parts)


def read(path: str, unit_bytes: int = 1 << 40, **changes: object) -> list[Found]:
    """Everything that read_warc yields for the file, in units of `unit_bytes`; `changes` are its settings."""
    units = cut_units([Input("crawl/x.warc.gz", path, Path(path).stat().st_size)], unit_bytes)
    return [found for unit in units for found in read_unit(unit, ReadWarcSettings.model_validate(changes))]


def outcome(found: Found) -> str:
    """The reason of a dropped page, the type of another record, or "page"."""
    return found.kind if isinstance(found, OtherRecord) else found.reason if isinstance(found, Dropped) else "page"
