"""Captures and the WARC files that hold them, with damage as in real crawls. Every run writes equal bytes."""

from __future__ import annotations

import gzip
import io
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import BufferWARCWriter

_START = datetime(2026, 9, 1, 6, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Capture:
    """One response (or WET conversion) record and its expected fate."""

    url: str
    body: bytes
    fate: str  # "kept", or "stage:reason"
    why: str = ""  # what the page is meant to test, shown in expected.json
    survivor: str = ""  # URL of the page that a duplicate must refer to
    group: str = ""  # exactly one page of a group is kept, and the others refer to it
    content_type: str = "text/html; charset=utf-8"
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    conversion: bool = False
    at: int = 0  # fetch time in minutes after the start of the crawl
    damage: str = ""  # truncate or garble

    @property
    def date(self) -> str:
        return (_START + timedelta(minutes=self.at)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Warc:
    """One WARC file that is being built."""

    name: str
    captures: list[Capture] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        records = [self._warcinfo(), *(part for capture in self.captures for part in self._records(capture))]
        (folder / self.name).write_bytes(b"".join(self._compress(raw, damage) for raw, damage in records))

    def _warcinfo(self) -> tuple[bytes, str]:
        content = b"software: gristmill mini-crawl\r\nformat: WARC File Format 1.1\r\n"
        headers = {"Content-Type": "application/warc-fields", "WARC-Filename": self.name}
        return _record("warcinfo", "", _START.strftime("%Y-%m-%dT%H:%M:%SZ"), content, headers), ""

    def _records(self, capture: Capture) -> list[tuple[bytes, str]]:
        if capture.conversion:
            content_type = {"Content-Type": "text/plain"}
            return [(_record("conversion", capture.url, capture.date, capture.body, content_type), "")]
        path = "/" + capture.url.split("/", 3)[3]
        request = f"GET {path} HTTP/1.1\r\nHost: {capture.url.split('/')[2]}\r\nUser-Agent: minicrawl\r\n\r\n".encode()
        head = StatusAndHeaders(
            capture.status,
            [("Content-Type", capture.content_type), ("Server", "mill/1"), *capture.headers],
            protocol="HTTP/1.1",
        )
        response = head.to_bytes() + capture.body
        http = {"Content-Type": "application/http; msgtype=response"}
        records = [
            (
                _record(
                    "request", capture.url, capture.date, request, {"Content-Type": "application/http; msgtype=request"}
                ),
                "",
            ),
            (_record("response", capture.url, capture.date, response, http), capture.damage),
        ]
        if capture.at % 10 == 0:
            fields = b"fetchTimeMs: 120\r\ncharset-detected: utf-8\r\n"
            records.append(
                (
                    _record("metadata", capture.url, capture.date, fields, {"Content-Type": "application/warc-fields"}),
                    "",
                )
            )
        return records

    def _compress(self, raw: bytes, damage: str) -> bytes:
        if self.name.endswith(".zst"):
            return zstandard.ZstdCompressor(level=19).compress(raw)
        if not self.name.endswith(".gz"):
            return raw
        compressed = gzip.compress(raw, 9, mtime=0)
        if damage == "truncate":
            return compressed[: len(compressed) // 2]
        if damage == "garble":  # like a bad disk: some bytes in the middle change, the length does not
            middle = len(compressed) // 3
            return (
                compressed[:middle]
                + bytes(byte ^ 0x5A for byte in compressed[middle : middle + 200])
                + compressed[middle + 200 :]
            )
        return compressed


def _record(kind: str, url: str, date: str, content: bytes, headers: dict[str, str]) -> bytes:
    writer = BufferWARCWriter(gzip=False, warc_version="1.1")
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {url} {date} {headers.get('WARC-Filename', '')}")
    record = writer.create_warc_record(
        url or None,  # type: ignore[arg-type]
        kind,
        payload=io.BytesIO(content),
        length=len(content),
        warc_headers_dict={"WARC-Date": date, "WARC-Record-ID": f"<urn:uuid:{identity}>", **headers},
        warc_content_type=headers["Content-Type"],
    )
    writer.write_record(record)
    return writer.get_contents()
