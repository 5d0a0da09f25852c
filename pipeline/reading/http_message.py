"""Parse the HTTP message of a `response` record: status, headers and body, with all encodings of the body decoded.

Common Crawl stores decoded bodies and renames the headers that no longer apply (`X-Crawl-Content-Encoding`); other
crawlers store the bytes of the connection. So an encoding is decoded only if it is declared *and* visible in the bytes.
A decoded body never takes more memory than the cap.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]
import zstandard
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser

HEADER_BYTES = 1 << 16  # limit for all headers; browsers and servers have limits of 8 to 256 KiB
_SELECTED_HEADERS, _VALUE_CHARACTERS = 20, 1000  # of those that are kept beside a page
_MAX_CODINGS = 4  # nested encodings; more are an attack
_MAX_MEMBERS = 100  # members of one gzip body; each costs a copy of the bytes after it
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]{0,256})?\r?\n")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_parser = StatusAndHeadersParser(ArcWarcRecordLoader.HTTP_TYPES, verify=False)


class BodyTooLargeError(ValueError):
    """The decoded body is larger than the cap."""


class BodyDamagedError(ValueError):
    """The declared content encoding cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Message:
    """An HTTP response; `body` is still encoded."""

    status: int | None  # None where the server sent no status line (HTTP/0.9, or not HTTP at all)
    headers: StatusAndHeaders | None
    body: bytes  # as stored

    def header(self, name: str) -> str:
        """The value of a header, "" if it is missing."""
        return (self.headers.get_header(name) or "").strip() if self.headers else ""

    def select_headers(self, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """(lower-case name, value) of the headers with these names, in their order, cut to a bearable size."""
        pairs = ((name.lower(), value) for name, value in (self.headers.headers if self.headers else ()))
        chosen = [(name, value.strip()[:_VALUE_CHARACTERS]) for name, value in pairs if name in names]
        return tuple(chosen[:_SELECTED_HEADERS])

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case."""
        return media_type(self.header("Content-Type"))

    @property
    def charset(self) -> str | None:
        """The charset of Content-Type, in lower case."""
        found = _CHARSET.search(self.header("Content-Type")[:500])  # the pattern is quadratic in white space
        return found[1].lower() if found else None


def media_type(value: str) -> str:
    """A media type without its parameters, in lower case."""
    return value.split(";")[0].split(",")[0].strip().lower()


def parse_message(block: bytes) -> Message:
    """Split the block of a `response` record into status, headers and body."""
    if not block.startswith(b"HTTP/"):
        return Message(None, None, block)
    blank = _BLANK_LINE.search(block, 0, HEADER_BYTES)
    if not blank:  # only headers, or headers beyond the limit: no body
        return Message(_status(block[:100]), _parser.parse(io.BytesIO(block[:HEADER_BYTES] + b"\r\n\r\n")), b"")
    headers = _parser.parse(io.BytesIO(block[: blank.end()]))
    return Message(_status(block[:100]), headers, block[blank.end() :])


def _status(line: bytes) -> int | None:
    parts = line.split(None, 2)
    return int(parts[1]) if len(parts) > 1 and re.fullmatch(rb"[1-9]\d\d", parts[1]) else None


def decode_body(message: Message, cap: int) -> bytes:
    """Decode transfer and content encodings. Raises BodyTooLargeError above `cap` bytes, or BodyDamagedError."""
    body = join_chunks(message)
    codings = [coding.strip().lower() for coding in message.header("Content-Encoding").split(",")]
    for coding in reversed(codings[:_MAX_CODINGS]):
        body = _decode(coding, body, cap)
    if len(body) > cap:
        raise BodyTooLargeError(f"more than {cap} bytes")
    return body


def join_chunks(message: Message) -> bytes:
    """The body without transfer encoding. One stored without chunk sizes (most crawlers) is unchanged; a truncated one
    stays short.
    """
    body = message.body
    if "chunked" not in message.header("Transfer-Encoding").lower():
        return body
    pieces, at = [], 0
    while found := _CHUNK.match(body, at):
        length = int(found[1], 16)
        if length == 0:
            break
        pieces.append(body[found.end() : found.end() + length])
        at = found.end() + length
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
    return b"".join(pieces) if pieces or _CHUNK.match(body) else body


def _decode(coding: str, body: bytes, cap: int) -> bytes:
    if coding in ("gzip", "x-gzip") and body[:2] == b"\x1f\x8b":
        return _decompress_zlib(31, body, cap)
    if coding == "deflate" and body:
        is_zlib = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        is_raw = not is_zlib and not _is_text(body)
        return _decompress_zlib(-15 if is_raw else 15, body, cap) if is_zlib or is_raw else body
    if coding == "br" and body and not _is_text(body):
        return _decompress_brotli(body, cap)
    if coding == "zstd" and body[:4] == b"\x28\xb5\x2f\xfd":
        return _decompress_zstd(body, cap)
    return body


def _is_text(body: bytes) -> bool:
    """Whether the body was decoded before it was stored: compressed bytes are full of control characters."""
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", body[:512]) and b"<" in body[:4096]


def _decompress_zlib(window_bits: int, body: bytes, cap: int) -> bytes:
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
    return _check_size(b"".join(pieces), cap)


def _decompress_brotli(body: bytes, cap: int) -> bytes:
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
    return _check_size(b"".join(pieces), cap)


def _decompress_zstd(body: bytes, cap: int) -> bytes:
    pieces: list[bytes] = []
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body, read_across_frames=True) as reader:
            while sum(map(len, pieces)) <= cap and (piece := reader.read(1 << 20)):
                pieces.append(piece)
    except zstandard.ZstdError as error:
        if not pieces:
            raise BodyDamagedError(str(error)) from error
    return _check_size(b"".join(pieces), cap)


def _check_size(body: bytes, cap: int) -> bytes:
    if len(body) > cap:
        raise BodyTooLargeError(f"inflates to more than {cap} bytes")
    return body
