"""Read gzip members and zstd frames one at a time, with their byte offsets.

A compressed file is a sequence of members. `FileWindow` is a buffered view of the file that knows its position.
`GzipMember`, `ZstdFrame` and `UncompressedFile` read from it through `read(limit)`, which returns at most `limit`
decompressed bytes however far the input expands: a decompression bomb costs time, not memory. Each stops exactly at the
end of its member, so that the window's position is then the start of the next one.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import IO, BinaryIO, Protocol, cast

import zstandard

from pipeline import effects

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 16  # compressed bytes per call: zlib copies what it does not use, so small pieces are faster
_ZSTD_WINDOW = 1 << 27  # largest window that zstd decompresses by default (128 MiB)
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # magic numbers of skippable frames (RFC 8878, 3.1.2)
_DICTIONARY = 0x184D2A5D  # the skippable frame that holds a .warc.zst file's dictionary (IIPC proposal)


class CompressionError(ValueError):
    """A member is damaged or truncated."""


class Member(Protocol):
    """One member, read as decompressed bytes."""

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes; b"" only at the member's end."""


class FileWindow:
    """A buffered view of a file of `size` bytes, from `start` on, where the file is positioned."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._size = size
        self._file = file
        self._buffer = b""
        self._at = 0
        self.offset = start

    def peek(self, wanted: int = 1) -> memoryview:
        """At least `wanted` bytes without consuming them; fewer only at the end of the file."""
        if len(self._buffer) - self._at < wanted:
            rest = self._buffer[self._at :]
            room = max(0, self._size - self.offset - len(rest))
            count = min(max(wanted, _PIECE * 4) - len(rest), room)
            piece = effects.read_fully(self._file, count)
            if len(piece) < count:  # not damage: the same file gives other bytes than at the run's begin
                raise OSError(f"it ends at byte {self.offset + len(rest) + len(piece)} now; has the file changed?")
            self._buffer = rest + piece
            self._at = 0
        return memoryview(self._buffer)[self._at :]

    def skip(self, count: int) -> None:
        """Consume `count` bytes that have been peeked at."""
        self._at += count
        self.offset += count

    def seek(self, offset: int) -> None:
        """Move to any offset of the file."""
        distance = offset - self.offset
        if 0 <= self._at + distance <= len(self._buffer):
            self.skip(distance)
        else:
            self._file.seek(offset)
            self._buffer, self._at, self.offset = b"", 0, offset

    def find(self, pattern: bytes) -> bool:
        """Move to the next occurrence of `pattern`; False, and to the end of the file, if there is none."""
        while len(self.peek(len(pattern))) >= len(pattern):
            found = self._buffer.find(pattern, self._at)
            if found >= 0:
                self.skip(found - self._at)
                return True
            self.skip(len(self._buffer) - self._at - len(pattern) + 1)
        return False

    def at_end(self) -> bool:
        return self.offset >= self._size or not self.peek()

    def close(self) -> None:
        self._file.close()


class UncompressedFile:
    """The rest of an uncompressed file as one member."""

    def __init__(self, window: FileWindow) -> None:
        self._window = window

    def read(self, limit: int) -> bytes:
        piece = bytes(self._window.peek()[:limit])
        self._window.skip(len(piece))
        return piece


class GzipMember:
    """One gzip member; its checksum is verified at its end."""

    def __init__(self, window: FileWindow) -> None:
        self._window = window
        self._inflater = zlib.decompressobj(31)

    def read(self, limit: int) -> bytes:
        while not self._inflater.eof:
            piece = self._window.peek()[:_PIECE]
            try:
                inflated = self._inflater.decompress(piece, limit)
            except zlib.error as error:
                raise CompressionError(f"damaged gzip member ({error})") from error
            left = len(self._inflater.unconsumed_tail) or len(self._inflater.unused_data)
            self._window.skip(len(piece) - left)
            if inflated:
                return inflated
            if not piece and not self._inflater.eof:
                raise CompressionError("the file ends inside a gzip member")
        return b""


class ZstdFrame(io.RawIOBase):
    """One zstd frame. Block headers are parsed here (RFC 8878, 3.1.1): zstd does not report where a frame ends."""

    def __init__(self, window: FileWindow, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self._window = window
        try:
            parameters = zstandard.get_frame_parameters(bytes(window.peek(18)[:18]))
            self._left = zstandard.frame_header_size(bytes(window.peek(18)[:18]))
        except zstandard.ZstdError as error:
            raise CompressionError(f"damaged zstd frame ({error})") from error
        self._checksum = 4 if parameters.has_checksum else 0
        self._last = False
        decompressor = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_ZSTD_WINDOW)
        self._inflated = decompressor.stream_reader(
            cast(IO[bytes], _FrameBytes(self._read_compressed)), read_size=_PIECE
        )

    def read(self, limit: int = -1) -> bytes:
        try:
            inflated: bytes = self._inflated.read(limit)
        except zstandard.ZstdError as error:
            raise CompressionError(f"damaged zstd frame ({error})") from error
        if not inflated:
            while self._read_compressed(_PIECE):  # consume the checksum, which the decompressor may have left
                pass
        return inflated

    def _read_compressed(self, wanted: int) -> bytes:
        """The next compressed bytes of this frame, b"" at its end."""
        if not self._left and not self._next_block():
            return b""
        piece = bytes(self._window.peek()[: min(self._left, wanted)])
        if not piece:
            raise CompressionError("the file ends inside a zstd frame")
        self._window.skip(len(piece))
        self._left -= len(piece)
        return piece

    def _next_block(self) -> bool:
        if self._last:
            return False
        header = int.from_bytes(self._window.peek(3)[:3], "little")
        self._last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        self._left = 3 + (1 if kind == 1 else length) + (self._checksum if self._last else 0)
        return True


class _FrameBytes(io.RawIOBase):
    """The file object that zstandard reads a frame's compressed bytes from."""

    def __init__(self, read_compressed: Callable[[int], bytes]) -> None:
        self._read_compressed = read_compressed

    def readable(self) -> bool:
        return True

    def read(self, limit: int = -1) -> bytes:
        return self._read_compressed(limit if limit > 0 else _PIECE)


def read_skippable_frame(window: FileWindow) -> zstandard.ZstdCompressionDict | None:
    """Consume a skippable frame; returns the file's dictionary if the frame holds it."""
    header = bytes(window.peek(8)[:8])
    magic, length = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:], "little")
    if magic != _DICTIONARY:
        window.seek(window.offset + 8 + length)
        return None
    content = bytes(window.peek(8 + length)[8 : 8 + length])
    window.skip(8 + len(content))
    if content[:4] == ZSTD_MAGIC:
        content = zstandard.ZstdDecompressor().decompress(content, max_output_size=_ZSTD_WINDOW)
    return zstandard.ZstdCompressionDict(content)


def is_skippable(head: bytes) -> bool:
    """Whether these bytes start a skippable zstd frame."""
    return len(head) >= 4 and int.from_bytes(head[:4], "little") in _SKIPPABLE
