"""Write the rows of a part as JSONL: the shard's columns, one document a line, the same bytes on every machine."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Literal, cast

import zstandard

from pipeline import storage
from pipeline.publishing.part_writer import HashingFile

Compression = Literal["plain", "gzip", "zstd"]
ENDINGS: Mapping[Compression, str] = {"plain": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3


class JsonlWriter:
    """One JSONL file of a part; the columns of a row stand in the order of `columns`."""

    def __init__(self, path: str, columns: list[str], compression: Compression) -> None:
        self.path, self.columns, self.compression = path, columns, compression
        self.rows = 0

    @contextmanager
    def open(self) -> Iterator[JsonlWriter]:
        """The file becomes visible when the block ends without an error, after its last bytes are on the disk."""
        with storage.write_atomically(self.path) as file:
            self._file = HashingFile(file)
            with ExitStack() as stack:
                self._stream = stack.enter_context(compress(self._file, self.compression))
                try:
                    yield self
                except BaseException:
                    self._file.file = None  # discard what the compressor flushes on close
                    raise

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row."""
        values = {name: _flat(row[name]) for name in self.columns}
        self._stream.write(format_line(values))
        self.rows += 1

    def manifest_entry(self) -> dict[str, Any]:
        """Path below the output, rows, bytes and SHA-256 of the finished file."""
        return self._file.manifest_entry(self.path, self.rows)


def format_line(values: Mapping[str, Any]) -> bytes:
    """One line of the file."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _flat(value: Any) -> Any:
    """A list as its values joined by spaces: readers guess types, and cannot guess that of an empty list."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


@contextmanager
def compress(file: HashingFile, compression: Compression) -> Iterator[IO[bytes]]:
    """The file, compressing what is written to it."""
    target = cast(IO[bytes], file)
    if compression == "gzip":  # no name and no time in the header
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, target, mtime=0) as stream:
            yield cast(IO[bytes], stream)
    elif compression == "zstd":
        compressor = zstandard.ZstdCompressor(_ZSTD_LEVEL, write_checksum=True)
        with compressor.stream_writer(target, closefd=False) as stream:
            yield cast(IO[bytes], stream)
    else:
        yield target
