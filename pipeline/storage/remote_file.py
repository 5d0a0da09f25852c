"""A remote file, read by range requests of one block each; each request has its own retries."""

from __future__ import annotations

import io
import os
from typing import Any

from pipeline.storage.errors import StorageError, explain_errors
from pipeline.storage.paths import is_web
from pipeline.storage.remote import request

BLOCK = 8 << 20  # bytes of one range request
_LARGEST_WHOLE_FILE = 8  # blocks; larger files are not read from a server that ignores range requests


class RemoteFile(io.RawIOBase):
    """A seekable reader. A broken connection costs one block; blocks do not reach beyond `end` unless it is passed."""

    def __init__(self, path: str, length: int, end: int | None) -> None:
        self._path = path
        self._length = length
        self._end = min(length, end) if end is not None else length
        self._position = 0
        self._block, self._block_start = b"", 0
        self._options = {"headers": {"Accept-Encoding": "identity"}} if is_web(path) else {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._length:
            return 0
        if not self._block_start <= self._position < self._block_start + len(self._block):
            self._fetch_block()
        at = self._position - self._block_start
        piece = self._block[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _fetch_block(self) -> None:
        start = self._position
        # A record may begin before `end` and end after it: beyond `end`, whole blocks instead of many small requests.
        stop = min(start + BLOCK, self._end if start < self._end else self._length)
        with explain_errors(self._path, "read"):
            block = request(self._path, lambda fs, inner: fs.cat_file(inner, start=start, end=stop, **self._options))
        if len(block) > stop - start:  # the server ignores ranges and sends the whole file
            if len(block) > _LARGEST_WHOLE_FILE * BLOCK:
                raise StorageError(
                    f"{self._path}: the server ignores range requests; download it and pass the local copy"
                )
            start = 0
        elif len(block) != stop - start:
            raise StorageError(
                f"{self._path}: requested bytes {start}-{stop}, got {len(block)} bytes; has the file changed?"
            )
        self._block, self._block_start = block, start
