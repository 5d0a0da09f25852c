"""The HTTP message inside a `response` record: its status, its headers, and its body with all encodings undone.

Common Crawl stores bodies decoded and renames the headers that would lie about that (`X-Crawl-Content-Encoding`); other
crawlers store what came over the wire. So an encoding is undone where it is declared *and* the bytes show it. Whatever
a body claims, it never grows past the cap.
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]
import zstandard
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser

HEADER_BYTES = 1 << 16  # browsers and servers refuse far smaller ones (8-256 KiB)
_MAX_CODINGS = 4  # a body gzipped more often than that is an attack
_MAX_MEMBERS = 100  # of one gzip body; each costs a copy of what follows it
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]{0,256})?\r?\n")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_parser = StatusAndHeadersParser(ArcWarcRecordLoader.HTTP_TYPES, verify=False)


class BodyTooLargeError(ValueError):
    """Decoded, the body is larger than the cap."""


class BodyDamagedError(ValueError):
    """The declared content encoding cannot be undone."""


@dataclass(frozen=True, slots=True)
class Message:
    status: int | None  # None where the server sent no status line (HTTP/0.9, or not HTTP at all)
    headers: StatusAndHeaders | None
    body: bytes  # as stored

    def header(self, name: str) -> str:
        return (self.headers.get_header(name) or "").strip() if self.headers else ""

    @property
    def media_type(self) -> str:
        return media_type(self.header("Content-Type"))

    @property
    def charset(self) -> str | None:
        found = _CHARSET.search(self.header("Content-Type")[:500])  # the pattern is quadratic in white space
        return found[1].lower() if found else None


def media_type(value: str) -> str:
    return value.split(";")[0].split(",")[0].strip().lower()


def parse_message(block: bytes) -> Message:
    if not block.startswith(b"HTTP/"):
        return Message(None, None, block)
    blank = _BLANK_LINE.search(block, 0, HEADER_BYTES)
    if not blank:  # headers only, or so many of them that the body is lost
        return Message(_status(block[:100]), _parser.parse(io.BytesIO(block[:HEADER_BYTES] + b"\r\n\r\n")), b"")
    headers = _parser.parse(io.BytesIO(block[: blank.end()]))
    return Message(_status(block[:100]), headers, block[blank.end() :])


def _status(line: bytes) -> int | None:
    parts = line.split(None, 2)
    return int(parts[1]) if len(parts) > 1 and re.fullmatch(rb"[1-9]\d\d", parts[1]) else None


def decode_body(message: Message, cap: int) -> bytes:
    """The body without transfer and content encodings, at most `cap` bytes, or one of the two errors above."""
    body = message.body
    if "chunked" in message.header("Transfer-Encoding").lower():
        body = _join_chunks(body)
    codings = [coding.strip().lower() for coding in message.header("Content-Encoding").split(",")]
    for coding in reversed(codings[:_MAX_CODINGS]):
        body = _undo(coding, body, cap)
    if len(body) > cap:
        raise BodyTooLargeError(f"more than {cap} bytes")
    return body


def _join_chunks(body: bytes) -> bytes:
    """Stored without its chunk sizes (most crawlers do that), a body stays as it is; cut off, it ends where it ends."""
    pieces, at = [], 0
    while found := _CHUNK.match(body, at):
        length = int(found[1], 16)
        if length == 0:
            break
        pieces.append(body[found.end() : found.end() + length])
        at = found.end() + length
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
    return b"".join(pieces) if pieces or _CHUNK.match(body) else body


def _undo(coding: str, body: bytes, cap: int) -> bytes:
    if coding in ("gzip", "x-gzip") and body[:2] == b"\x1f\x8b":
        return _inflate(31, body, cap)
    if coding == "deflate" and body:
        is_zlib = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        is_raw = not is_zlib and not _is_text(body)
        return _inflate(-15 if is_raw else 15, body, cap) if is_zlib or is_raw else body
    if coding == "br" and body and not _is_text(body):
        return _unbrotli(body, cap)
    if coding == "zstd" and body[:4] == b"\x28\xb5\x2f\xfd":
        return _unzstd(body, cap)
    return body


def _is_text(body: bytes) -> bool:
    """Compressed bytes are full of control characters; a page that was decoded before it was stored is not."""
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", body[:512]) and b"<" in body[:4096]


def _inflate(window_bits: int, body: bytes, cap: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    for _ in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(window_bits)
        try:
            piece = inflater.decompress(body, cap + 1 - total)
        except zlib.error as error:
            if not pieces:
                raise BodyDamagedError(str(error)) from error
            break
        pieces.append(piece)
        total += len(piece)
        body = inflater.unused_data
        if total > cap or body[:2] != b"\x1f\x8b":
            break
    return _capped(b"".join(pieces), cap)


def _unbrotli(body: bytes, cap: int) -> bytes:
    inflater = brotli.Decompressor()
    pieces, total = [], 0
    try:
        piece = inflater.process(body, output_buffer_limit=1 << 20)
        while piece and total <= cap:
            pieces.append(piece)
            total += len(piece)
            piece = inflater.process(b"", output_buffer_limit=1 << 20)
    except brotli.error as error:
        if not pieces:
            raise BodyDamagedError(str(error)) from error
    return _capped(b"".join(pieces), cap)


def _unzstd(body: bytes, cap: int) -> bytes:
    pieces: list[bytes] = []
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body, read_across_frames=True) as reader:
            while sum(map(len, pieces)) <= cap and (piece := reader.read(1 << 20)):
                pieces.append(piece)
    except zstandard.ZstdError as error:
        if not pieces:
            raise BodyDamagedError(str(error)) from error
    return _capped(b"".join(pieces), cap)


def _capped(body: bytes, cap: int) -> bytes:
    if len(body) > cap:
        raise BodyTooLargeError(f"inflates to more than {cap} bytes")
    return body
