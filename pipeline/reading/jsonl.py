"""Read the lines of a JSONL file, or of a byte range of one; plain, gzip or zstd.

A line belongs to the range in which it starts. A plain file is read from its range on. A compressed file can only be
read from its beginning, so every range decompresses what comes before it (no parsing: 1 GB takes seconds, the pages of
a range a minute or two); there a line starts at the compressed byte that had been reached when its first byte appeared.
So every split of a file gives the same lines.

An `offset` is the position of the line's first byte in the file, decompressed. At most `cap` bytes of a line are held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline import storage
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
from pipeline.reading.file_formats import is_compressed

_READ_BYTES = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line end."""

    offset: int
    position: int  # in the file as it is stored: the offset, or the compressed bytes before the line
    number: int | None  # from 1; None where the lines before the range were not read
    content: bytes  # at most `cap` bytes
    length: int  # bytes of the whole line


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """The place from which a compressed file cannot be read, and why."""

    offset: int
    position: int
    number: int | None
    error: str


def read_lines(path: str, start: int, end: int, *, cap: int, name: str = "") -> Iterator[Line | DamagedLine]:
    """The lines that start in [start, end), empty ones left out; damage ends them. `name` decides the compression."""
    size = storage.size(path)
    if not size:
        return
    if is_compressed(name or path):
        yield from _read_compressed(path, start, min(end, size), size, cap)
    else:
        yield from _read_plain(path, start, min(end, size), size, cap)


def _read_plain(path: str, start: int, end: int, size: int, cap: int) -> Iterator[Line]:
    begin = max(start - 1, 0)  # the byte before the range shows whether a line starts with it
    window = FileWindow(storage.open_binary(path, begin, end=end + (1 << 19), length=size), begin, size)
    try:
        if start and not window.find(b"\n"):
            return
        window.skip(1 if start else 0)
        splitter = _LineSplitter(UncompressedFile(window), window, cap, 0 if start == 0 else None)
        for line in splitter.lines():
            if line.position >= end:
                return
            if line.length:
                yield line
    finally:
        window.close()


def _read_compressed(path: str, start: int, end: int, size: int, cap: int) -> Iterator[Line | DamagedLine]:
    window = FileWindow(storage.open_binary(path, 0, end=end, length=size), 0, size)
    splitter = _LineSplitter(_Members(window), window, cap, 0, compressed_bytes=size)
    try:
        for line in splitter.lines():
            if line.position >= end:
                return
            if line.position >= start and line.length:
                yield line
    except CompressionError as error:
        if start <= splitter.position < end:
            yield DamagedLine(splitter.offset, splitter.position, splitter.number, str(error))
    finally:
        window.close()


class _LineSplitter:
    """Cuts a stream of bytes into lines; `offset`, `position` and `number` are those of the line being read."""

    def __init__(
        self, stream: Member, window: FileWindow, cap: int, number: int | None, *, compressed_bytes: int = 0
    ) -> None:
        self._stream, self._window, self._cap, self._compressed_bytes = stream, window, cap, compressed_bytes
        self.offset = 0 if compressed_bytes else window.offset
        self.position = window.offset
        self.number = number
        self._read = self.offset  # bytes read, from the beginning of the (decompressed) file

    def lines(self) -> Iterator[Line]:
        held, length = bytearray(), 0
        self._start_line(self._window.offset)
        while piece := self._next_piece():
            before, at = self._piece_position, 0
            while (found := piece.find(b"\n", at)) >= 0:
                held += piece[at : min(found, at + max(self._cap - len(held), 0))]
                length += found - at
                yield self._line(held, length)
                held, length, at = bytearray(), 0, found + 1
                self.offset = self._read - len(piece) + at
                # At the piece's end the next line starts with the next piece.
                self._start_line(before if at < len(piece) else self._window.offset)
            held += piece[at : at + max(self._cap - len(held), 0)]
            length += len(piece) - at
        if length:
            yield self._line(held, length)

    def _next_piece(self) -> bytes:
        self._piece_position = self._window.offset
        piece = self._stream.read(_READ_BYTES)
        self._read += len(piece)
        return piece

    def _start_line(self, position: int) -> None:
        # The decompressor may have taken the last byte before it gives the last lines.
        self.position = min(position, self._compressed_bytes - 1) if self._compressed_bytes else self.offset
        if self.number is not None:
            self.number += 1

    def _line(self, held: bytearray, length: int) -> Line:
        content = bytes(held)
        if self.offset == 0 and content.startswith(_BYTE_ORDER_MARK):
            content, length = content[len(_BYTE_ORDER_MARK) :], length - len(_BYTE_ORDER_MARK)
        if length <= self._cap and content.endswith(b"\r"):
            content, length = content[:-1], length - 1
        return Line(self.offset, self.position, self.number, content, length if content.strip() else 0)


class _Members:
    """All members of a compressed file as one stream."""

    def __init__(self, window: FileWindow) -> None:
        self._window = window
        self._member: Member | None = None

    def read(self, limit: int) -> bytes:
        while True:
            if self._member is None:
                if self._window.at_end():
                    return b""
                self._member = self._open_member()
            if piece := self._member.read(limit):
                return piece
            self._member = None

    def _open_member(self) -> Member:
        while is_skippable(bytes(self._window.peek(4)[:4])):
            read_skippable_frame(self._window)
        head = bytes(self._window.peek(4)[:4])
        if head == ZSTD_MAGIC:
            return ZstdFrame(self._window)
        if head.startswith(GZIP_MAGIC):
            return GzipMember(self._window)
        raise CompressionError("neither gzip nor zstd where a compressed member should begin")
