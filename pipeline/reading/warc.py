"""Read the records of a WARC file, or of a byte range of one; damaged bytes are reported and skipped.

This module finds and decompresses the members (compressed_members.py); warcio parses the headers. warcio's own iterator
stops at the first exception; this one yields one `DamagedBytes` and continues at the next good member.

A file can be read in byte ranges, each by another worker. A record belongs to the range in which its member starts.
Damaged bytes belong to the range of the record before them (to the first range if there is none): after each good
member, its range checks that another good member or the end of the file follows. So every split of a file gives the
same records and the same damage, and no pass over the file is needed to choose the ranges.

An `offset` is the position of the member's first byte in the file. If one member holds many records (the whole file in
one gzip member: the standard forbids it, but such files exist), the record's position in the decompressed member is
added.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import zstandard
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser, StatusAndHeadersParserException

from pipeline import effects, storage
from pipeline.reading.compressed_members import (
    GZIP_MAGIC,
    ZSTD_MAGIC,
    CompressionError,
    FileWindow,
    GzipMember,
    Member,
    UncompressedFile,
    ZstdFrame,
    is_skippable,
    read_skippable_frame,
)
from pipeline.reading.ranges import Range, coalesce

HEADER_BYTES = 1 << 16  # limit for the header of one record; real headers have a few hundred bytes
WHOLE_FILE = 1 << 62  # as the end of a range: whatever the file's size
_READ_BYTES = 1 << 16
_START = b"WARC/"
_BLANK_LINE = re.compile(rb"\n\r?\n")
_RECORD_START = re.compile(rb"\nWARC/[01]\.\d+\r?\n[A-Za-z][A-Za-z0-9-]*:")  # to continue after a damaged record
_parser = StatusAndHeadersParser(ArcWarcRecordLoader.WARC_TYPES)


class RecordError(ValueError):
    """The bytes were decompressed, but they are not a WARC record."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One WARC record: parsed headers and the bytes of its block."""

    offset: int
    headers: StatusAndHeaders  # names ignore case: get_header(name) is the value or None
    block: bytes  # at most `block_cap` bytes
    length: int  # bytes of the whole block
    stored: int | None = None  # bytes of the record in the file; None if its member holds other records as well


@dataclass(frozen=True, slots=True)
class DamagedBytes:
    """Bytes of the file that could not be read as a record: where they begin, and why."""

    offset: int
    error: str


def read_chosen_records(
    path: str, ranges: Sequence[Range], *, block_cap: int
) -> Iterator[tuple[int, RawRecord | DamagedBytes]]:
    """Yield the records of ranges that hold whole records, each with the number of its range.

    Ranges that lie close together are fetched by one request, and no byte outside of them is inflated.
    """
    for (start, end), group in coalesce(ranges):
        with storage.explain_errors(path, "read"), storage.open_binary(path, start, end=end, length=end) as file:
            for number in group:
                first, last = ranges[number]
                file.seek(first)
                reader = _RangeReader(FileWindow(file, first, last), last, block_cap)
                yield from ((number, found) for found in reader.read(record_at_start=True))


def read_records(
    path: str, start: int, end: int, *, block_cap: int, record_at_start: bool = False
) -> Iterator[RawRecord | DamagedBytes]:
    """Yield the records that start in [start, end); of each block, at most `block_cap` bytes are kept.

    `record_at_start`: a record is known to start at `start`.
    """
    size = storage.size(path)
    if size < end < WHOLE_FILE and not record_at_start:
        raise storage.StorageError(f"{path}: has {size} bytes, but had {end} when the run began; has the file changed?")
    if size == 0:
        yield DamagedBytes(0, "the file is empty")
        return
    if start and not record_at_start and not _can_be_cut(path, size):
        return  # its first range reads all
    # After `end` come the rest of the last record and the first bytes of the next: half a megabyte usually suffices.
    with storage.explain_errors(path, "read"):
        window = FileWindow(storage.open_binary(path, start, end=end + (1 << 19), length=size), start, size)
        try:
            reader = _RangeReader(window, end, block_cap)
            yield from reader.read(record_at_start)
        finally:
            window.close()


def _can_be_cut(path: str, size: int) -> bool:
    """Whether the file is gzip, by its first bytes; pages of a file of another format may hold gzip members."""
    with storage.explain_errors(path, "read"), storage.open_binary(path, 0, end=5, length=size) as file:
        return _magic_of(effects.read_fully(file, 5)) == GZIP_MAGIC


def _magic_of(head: bytes) -> bytes:
    """How the members of a file begin; a file that begins with something else is damaged gzip."""
    if head.startswith(ZSTD_MAGIC) or is_skippable(head):
        return ZSTD_MAGIC
    return _START if head == _START else GZIP_MAGIC


def read_fetched_records(data: bytes, block_cap: int) -> Iterator[RawRecord | DamagedBytes]:
    """The records in these bytes, which begin with one; offsets are from their start."""
    window = FileWindow(io.BytesIO(data), 0, len(data))
    yield from _RangeReader(window, len(data), block_cap).read(record_at_start=True)


class _RangeReader:
    """Reads member after member; `window` starts at the range's start, `end` is the range's end."""

    def __init__(self, window: FileWindow, end: int, cap: int) -> None:
        self._window = window
        self._end = end
        self._cap = cap
        self._magic = GZIP_MAGIC
        self._dictionary: zstandard.ZstdCompressionDict | None = None

    def read(self, record_at_start: bool) -> Iterator[RawRecord | DamagedBytes]:
        window = self._window
        start = window.offset
        if record_at_start or not start:  # else gzip, see _can_be_cut
            self._detect_format()
        if self._magic == ZSTD_MAGIC and not record_at_start:
            self._end = WHOLE_FILE
        if self._magic == _START:
            yield from _read_member(_MemberStream(UncompressedFile(window)), window.offset, self._cap, None)
            return
        if start and not record_at_start and not self._seek_next_member(start):
            return
        while not window.at_end():
            offset = window.offset
            try:
                stream = self._open_member()
            except CompressionError as error:
                yield DamagedBytes(offset, str(error))
                whole = False
            else:
                if offset >= self._end:
                    return
                whole = yield from _read_member(stream, offset, self._cap, window)
            if not whole and not self._seek_next_member(offset + 1):
                return

    def _detect_format(self) -> None:
        self._magic = _magic_of(bytes(self._window.peek(5)[:5]))

    def _open_member(self) -> _MemberStream:
        """Open the member at the window's position. Raises CompressionError if it does not hold WARC records."""
        while is_skippable(bytes(self._window.peek(4)[:4])):
            self._dictionary = read_skippable_frame(self._window) or self._dictionary
        if bytes(self._window.peek(4)[: len(self._magic)]) != self._magic:
            raise CompressionError("no compressed member where one should begin")
        is_gzip = self._magic == GZIP_MAGIC
        stream = _MemberStream(GzipMember(self._window) if is_gzip else ZstdFrame(self._window, self._dictionary))
        if stream.skip_blank_lines() and not stream.starts_with(_START):
            raise CompressionError("the member holds no WARC record")
        return stream

    def _seek_next_member(self, offset: int) -> bool:
        """Move to the next member at or after `offset` that starts with a record; False if it is beyond the range."""
        self._window.seek(offset)
        while self._window.find(self._magic) and self._window.offset < self._end:
            candidate = self._window.offset
            try:
                found = self._open_member().starts_with(_START)
            except CompressionError:
                found = False
            self._window.seek(candidate if found else candidate + 1)
            if found:
                return True
        return False


class _MemberStream:
    """The decompressed bytes of one member, with look-ahead."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._buffer = b""
        self._at = 0
        self.position = 0  # of the next byte, in the decompressed member

    def _fill(self) -> bool:
        piece = self._member.read(_READ_BYTES)
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        return bool(piece)

    def starts_with(self, start: bytes) -> bool:
        while len(self._buffer) - self._at < len(start) and self._fill():
            pass
        return self._buffer.startswith(start, self._at)

    def read_header(self) -> bytes:
        """The bytes up to and including the next blank line."""
        while not (found := _BLANK_LINE.search(self._buffer, self._at)):
            if len(self._buffer) - self._at > HEADER_BYTES:
                raise RecordError(f"a record header of more than {HEADER_BYTES} bytes")
            if not self._fill():
                raise RecordError("the file ends inside a record header")
        return self.read(found.end() - self._at)

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the member's end."""
        pieces = [self._buffer[self._at : self._at + count]]
        self._at += len(pieces[0])
        missing = count - len(pieces[0])
        while missing and (piece := self._member.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        self.position += count - missing
        return b"".join(pieces)

    def skip(self, count: int) -> int:
        """Skip `count` bytes; returns how many there were."""
        skipped = 0
        while skipped < count and (piece := self.read(min(_READ_BYTES, count - skipped))):
            skipped += len(piece)
        return skipped

    def skip_blank_lines(self) -> bool:
        """Skip line ends between records. False at the member's end; by then its checksum has been verified."""
        while True:
            rest = self._buffer[self._at :].lstrip(b"\r\n")
            self.position += len(self._buffer) - self._at - len(rest)
            self._buffer, self._at = rest, 0
            if rest:
                return True
            if not self._fill():
                return False

    def seek_record_start(self) -> None:
        """Move to the next line that looks like the start of a record, or to the end."""
        while not (found := _RECORD_START.search(self._buffer, self._at)):
            tail = max(self._at, len(self._buffer) - 256)
            self.position += tail - self._at
            self._at = tail
            if not self._fill():
                self.position += len(self._buffer) - self._at
                self._at = len(self._buffer)
                return
        self.position += found.start() + 1 - self._at
        self._at = found.start() + 1


def _read_member(
    stream: _MemberStream, base: int, cap: int, window: FileWindow | None
) -> Generator[RawRecord | DamagedBytes, None, bool]:
    """Yield the records of one member; returns whether the member could be read to its end.

    `window` is that of a compressed member, None for an uncompressed file.
    """
    offset, is_first = base, True
    try:
        while stream.skip_blank_lines():
            offset = base + stream.position
            try:
                record = _read_record(stream, offset, cap)
                more = stream.skip_blank_lines()  # verify the checksum before yielding the record
            except RecordError as error:
                yield DamagedBytes(offset, str(error))
                stream.seek_record_start()
            else:
                if window is None:
                    record = replace(record, stored=base + stream.position - offset)
                elif is_first and not more:
                    record = replace(record, stored=window.offset - base)
                yield record
            is_first = False
    except CompressionError as error:
        yield DamagedBytes(offset, str(error))
        return False
    return True


def _read_record(stream: _MemberStream, offset: int, cap: int) -> RawRecord:
    if not stream.starts_with(_START):
        raise RecordError("no WARC record where one should begin")
    try:
        headers = _parser.parse(io.BytesIO(stream.read_header()))
    except StatusAndHeadersParserException as error:
        raise RecordError(f"unknown WARC version ({error.statusline!r:.40})") from error
    declared = headers.get_header("Content-Length") or ""
    if not (declared.isascii() and declared.isdigit() and len(declared) < 19):
        raise RecordError(f"no usable Content-Length ({declared!r:.40})")
    length = int(declared)
    block = stream.read(min(length, cap))
    available = len(block) + stream.skip(length - len(block))
    if available < length:
        raise RecordError(f"the record ends {length - available} bytes before its Content-Length of {length}")
    return RawRecord(offset, headers, block, length)
