"""Write one Parquet file of a part, and compute its size, SHA-256 and content digest while writing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.publishing.content_hash import MODULUS, add_columns, row_digest, write_columns

ROW_GROUP_ROWS = 1024


class PartWriter:
    """One Parquet file of a part; at most one row group is in memory."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self.path, self.schema = path, schema
        self.rows = 0
        self.content = 0  # sum of the row digests
        self.columns: dict[str, int] = {}  # sums of the columns
        self._row_group: list[dict[str, Any]] = []

    @contextmanager
    def open(self) -> Iterator[PartWriter]:
        """The file becomes visible when the block ends without an error, after its last bytes are on the disk."""
        with storage.write_atomically(self.path) as file:
            self._file = HashingFile(file)
            self._writer = pq.ParquetWriter(self._file, self.schema, compression="zstd", compression_level=3)
            try:
                yield self
                self._flush()
            except BaseException:
                self._file.file = None  # discard what the Parquet writer flushes on close
                raise
            finally:
                self._writer.close()

    def write(self, row: dict[str, Any]) -> None:
        """Adds a row to the file, to `content` and to `columns`."""
        self.content = (self.content + row_digest(row)) % MODULUS
        add_columns(self.columns, row)
        self.rows += 1
        self._row_group.append(row)
        if len(self._row_group) >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._row_group, schema=self.schema))
        self._row_group.clear()

    def manifest_entry(self) -> dict[str, Any]:
        """Path below the output, rows, bytes, SHA-256, content digest and sums of the columns of the finished file."""
        sums = {"content": f"{self.content:064x}", "columns": write_columns(self.columns)}
        return {**self._file.manifest_entry(self.path, self.rows), **sums}


class HashingFile:
    """A binary file for writing that counts and hashes its bytes, so that they need not be read back."""

    def __init__(self, file: Any) -> None:
        self.file, self.size, self.digest, self.closed = file, 0, hashlib.sha256(), False

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.digest.update(data)
        return len(data) if self.file is None else int(self.file.write(data))

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """`write_atomically` flushes the file once it is complete."""

    def close(self) -> None:
        self.closed = True

    def manifest_entry(self, path: str, rows: int) -> dict[str, Any]:
        """Path below the output, rows, bytes and SHA-256 of the finished file."""
        folder, name = PurePosixPath(path).parts[-2:]
        return {"path": f"{folder}/{name}", "rows": rows, "bytes": self.size, "sha256": self.digest.hexdigest()}
