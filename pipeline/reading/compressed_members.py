"""Compressed input as it really is: a row of members, read one by one with bounded memory and known offsets.

`Window` moves forward over a file and knows where it stands. `GzipMember`, `ZstdFrame` and `Plain` inflate from it:
each gives `read(n)`, never more than n bytes whatever the input claims (a bomb costs time, not memory), and stops
exactly where its member stops, so the window then stands at the next member.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import IO, BinaryIO, Protocol, cast

import zstandard

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 16  # compressed bytes fed at once: what is left over is copied by zlib, so small pieces are quicker
_ZSTD_WINDOW = 1 << 27  # zstd's own limit for windows that need no special permission (128 MiB)
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_DICTIONARY = 0x184D2A5D  # the skippable frame that holds a .warc.zst file's dictionary (IIPC proposal)


class CompressionError(ValueError):
    """A member is damaged or cut off."""


class Member(Protocol):
    def read(self, limit: int) -> bytes:
        """At most `limit` bytes, b"" at the member's end only."""


class Window:
    """The unread part of a file, seen from one offset on."""

    def __init__(self, open_at: Callable[[int], BinaryIO], start: int, size: int) -> None:
        self._open_at = open_at
        self._size = size
        self._file = open_at(start)
        self._buffer = b""
        self._at = 0
        self.offset = start

    def peek(self, wanted: int = 1) -> memoryview:
        """At least `wanted` unread bytes, fewer only at the end of the file."""
        if len(self._buffer) - self._at < wanted:
            rest = self._buffer[self._at :]
            room = max(0, self._size - self.offset - len(rest))
            self._buffer = rest + self._file.read(min(max(wanted, _PIECE * 4) - len(rest), room))
            self._at = 0
        return memoryview(self._buffer)[self._at :]

    def skip(self, count: int) -> None:
        self._at += count
        self.offset += count

    def seek(self, offset: int) -> None:
        distance = offset - self.offset
        if 0 <= self._at + distance <= len(self._buffer):
            self.skip(distance)
        else:
            self._file.seek(offset)
            self._buffer, self._at, self.offset = b"", 0, offset

    def find(self, pattern: bytes) -> bool:
        """Moves to the next place where `pattern` stands; False, and at the end, if there is none."""
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


class Plain:
    """Uncompressed bytes up to the end of the file."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def read(self, limit: int) -> bytes:
        piece = bytes(self._window.peek()[:limit])
        self._window.skip(len(piece))
        return piece


class GzipMember:
    def __init__(self, window: Window) -> None:
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
    """One frame. The blocks are walked here (RFC 8878, 3.1.1), since zstd itself does not say where a frame ended."""

    def __init__(self, window: Window, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self._window = window
        try:
            parameters = zstandard.get_frame_parameters(bytes(window.peek(18)[:18]))
            self._left = zstandard.frame_header_size(bytes(window.peek(18)[:18]))
        except zstandard.ZstdError as error:
            raise CompressionError(f"damaged zstd frame ({error})") from error
        self._checksum = 4 if parameters.has_checksum else 0
        self._last = False
        decompressor = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_ZSTD_WINDOW)
        self._inflated = decompressor.stream_reader(cast(IO[bytes], _FrameBytes(self._compressed)), read_size=_PIECE)

    def read(self, limit: int = -1) -> bytes:
        try:
            inflated: bytes = self._inflated.read(limit)
        except zstandard.ZstdError as error:
            raise CompressionError(f"damaged zstd frame ({error})") from error
        if not inflated:
            while self._compressed(_PIECE):  # the checksum, if nobody asked for it
                pass
        return inflated

    def _compressed(self, wanted: int) -> bytes:
        """The next bytes of this frame, b"" behind its end."""
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
    def __init__(self, compressed: Callable[[int], bytes]) -> None:
        self._compressed = compressed

    def readable(self) -> bool:
        return True

    def read(self, limit: int = -1) -> bytes:
        return self._compressed(limit if limit > 0 else _PIECE)


def skip_frame(window: Window) -> zstandard.ZstdCompressionDict | None:
    """Steps over a skippable frame, and answers the dictionary if it is one."""
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
    return len(head) >= 4 and int.from_bytes(head[:4], "little") in _SKIPPABLE
