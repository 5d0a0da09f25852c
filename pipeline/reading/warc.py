"""Records of a WARC file, or of a byte range of one, in spite of damage.

Members are found and inflated here (compressed_members.py), warcio parses the headers. warcio's own iterator ends for
good at the first exception; this one says `Damage` once and goes on at the next good member.

Who owns what, when a file is cut into ranges: a record belongs to the range in which its member starts; a damaged
stretch belongs to whoever owns the record before it (the first range, when there is none). The range that owns a good
member checks that another one, or the end of the file, follows it. So every cut of a file gives the same records and
the same damage, without anybody looking through the file first.

An `offset` counts bytes of the file up to the member's first byte. Where one member holds many records (a whole file
through gzip, which the standard forbids and people do), the record's position in the inflated member is added.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial

import zstandard
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser, StatusAndHeadersParserException

from pipeline import storage
from pipeline.reading.compressed_members import (
    GZIP_MAGIC,
    ZSTD_MAGIC,
    CompressionError,
    GzipMember,
    Member,
    Plain,
    Window,
    ZstdFrame,
    is_skippable,
    skip_frame,
)

HEADER_BYTES = 1 << 16  # of one record; real ones have a few hundred
_STEP = 1 << 16
_START = b"WARC/"
_BLANK_LINE = re.compile(rb"\n\r?\n")
_RECORD_START = re.compile(rb"\nWARC/[01]\.\d+\r?\n[A-Za-z][A-Za-z0-9-]*:")  # inside a stream that lost its thread
_parser = StatusAndHeadersParser(ArcWarcRecordLoader.WARC_TYPES)


class RecordError(ValueError):
    """The bytes are whole, but they are no WARC record."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    offset: int
    headers: StatusAndHeaders  # a map that ignores case: get_header(name) is the value or None
    block: bytes  # at most the caller's cap
    length: int  # what the block really has


@dataclass(frozen=True, slots=True)
class Damage:
    offset: int
    error: str


def read_records(
    path: str, start: int, end: int, *, block_cap: int, exact: bool = False, closed: bool = False
) -> Iterator[RawRecord | Damage]:
    """Records that start in [start, end). `exact`: one is known to start at `start`; `closed`: and one to end at `end`.

    A closed range costs a web server one request, and not a byte more.
    """
    size = end if closed else storage.size(path)
    if size == 0:
        yield Damage(0, "the file is empty")
        return
    # Behind `end` lie the rest of the last record and the first bytes of the next: half a megabyte is mostly enough.
    window = Window(partial(storage.open_binary, path, end=end + (1 << 19), length=size), start, size)
    try:
        yield from _Reader(window, end, block_cap).records(exact or closed or start == 0)
    finally:
        window.close()


class _Reader:
    """Walks over the members of a window."""

    def __init__(self, window: Window, end: int, cap: int) -> None:
        self._window = window
        self._end = end
        self._cap = cap
        self._magic = GZIP_MAGIC
        self._dictionary: zstandard.ZstdCompressionDict | None = None

    def records(self, exact: bool) -> Iterator[RawRecord | Damage]:
        window = self._window
        self._detect()
        if self._magic == _START:
            yield from _records_of(_Stream(Plain(window)), window.offset, self._cap)
            return
        if not exact and not self._find_next(window.offset):
            return
        while not window.at_end():
            offset = window.offset
            try:
                stream = self._enter()
            except CompressionError as error:
                yield Damage(offset, str(error))
                whole = False
            else:
                if offset >= self._end:
                    return
                whole = yield from _records_of(stream, offset, self._cap)
            if not whole and not self._find_next(offset + 1):
                return

    def _detect(self) -> None:
        head = bytes(self._window.peek(5)[:5])
        if head.startswith(ZSTD_MAGIC) or is_skippable(head):
            self._magic = ZSTD_MAGIC
        elif head == _START:
            self._magic = _START

    def _enter(self) -> _Stream:
        """The member at the window's place, if it is one that holds records or nothing."""
        while is_skippable(bytes(self._window.peek(4)[:4])):
            self._dictionary = skip_frame(self._window) or self._dictionary
        if bytes(self._window.peek(4)[: len(self._magic)]) != self._magic:
            raise CompressionError("no compressed member where one should begin")
        is_gzip = self._magic == GZIP_MAGIC
        stream = _Stream(GzipMember(self._window) if is_gzip else ZstdFrame(self._window, self._dictionary))
        if stream.skip_blank() and not stream.starts_with(_START):
            raise CompressionError("the member holds no WARC record")
        return stream

    def _find_next(self, offset: int) -> bool:
        """Moves to the next member at or after `offset` that begins with a WARC record; False if that is not ours."""
        self._window.seek(offset)
        while self._window.find(self._magic) and self._window.offset < self._end:
            candidate = self._window.offset
            try:
                found = self._enter().starts_with(_START)
            except CompressionError:
                found = False
            self._window.seek(candidate if found else candidate + 1)
            if found:
                return True
        return False


class _Stream:
    """Inflated bytes of one member with a little look-ahead."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._buffer = b""
        self._at = 0
        self.position = 0  # of the next byte, counted from the member's first

    def _more(self) -> bool:
        piece = self._member.read(_STEP)
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        return bool(piece)

    def starts_with(self, start: bytes) -> bool:
        while len(self._buffer) - self._at < len(start) and self._more():
            pass
        return self._buffer.startswith(start, self._at)

    def take_head(self) -> bytes:
        """Everything through the next blank line."""
        while not (found := _BLANK_LINE.search(self._buffer, self._at)):
            if len(self._buffer) - self._at > HEADER_BYTES:
                raise RecordError(f"a record header of more than {HEADER_BYTES} bytes")
            if not self._more():
                raise RecordError("the file ends inside a record header")
        return self.take(found.end() - self._at)

    def take(self, count: int) -> bytes:
        pieces = [self._buffer[self._at : self._at + count]]
        self._at += len(pieces[0])
        missing = count - len(pieces[0])
        while missing and (piece := self._member.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        self.position += count - missing
        return b"".join(pieces)

    def drop(self, count: int) -> int:
        """Steps over bytes; answers how many there were."""
        dropped = 0
        while dropped < count and (piece := self.take(min(_STEP, count - dropped))):
            dropped += len(piece)
        return dropped

    def skip_blank(self) -> bool:
        """Steps over the line ends between records; False at the member's end (its checksum has been compared then)."""
        while True:
            rest = self._buffer[self._at :].lstrip(b"\r\n")
            self.position += len(self._buffer) - self._at - len(rest)
            self._buffer, self._at = rest, 0
            if rest:
                return True
            if not self._more():
                return False

    def find_start(self) -> None:
        """Moves to what looks like the next record's first line, or to the end."""
        while not (found := _RECORD_START.search(self._buffer, self._at)):
            tail = max(self._at, len(self._buffer) - 256)
            self.position += tail - self._at
            self._at = tail
            if not self._more():
                self.position += len(self._buffer) - self._at
                self._at = len(self._buffer)
                return
        self.position += found.start() + 1 - self._at
        self._at = found.start() + 1


def _records_of(stream: _Stream, base: int, cap: int) -> Generator[RawRecord | Damage, None, bool]:
    """The records of one member; answers whether the member could be read to its end."""
    offset = base
    try:
        while stream.skip_blank():
            offset = base + stream.position
            try:
                record = _parse(stream, offset, cap)
                stream.skip_blank()  # a checksum that does not match speaks before the record does
            except RecordError as error:
                yield Damage(offset, str(error))
                stream.find_start()
            else:
                yield record
    except CompressionError as error:
        yield Damage(offset, str(error))
        return False
    return True


def _parse(stream: _Stream, offset: int, cap: int) -> RawRecord:
    if not stream.starts_with(_START):
        raise RecordError("no WARC record where one should begin")
    try:
        headers = _parser.parse(io.BytesIO(stream.take_head()))
    except StatusAndHeadersParserException as error:
        raise RecordError(f"unknown WARC version ({error.statusline!r:.40})") from error
    declared = headers.get_header("Content-Length") or ""
    if not (declared.isascii() and declared.isdigit() and len(declared) < 19):
        raise RecordError(f"no usable Content-Length ({declared!r:.40})")
    length = int(declared)
    block = stream.take(min(length, cap))
    got = len(block) + stream.drop(length - len(block))
    if got < length:
        raise RecordError(f"the record ends {length - got} bytes before its Content-Length of {length}")
    return RawRecord(offset, headers, block, length)
