"""Parquet files on any storage: open, stream rows, count rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import effects
from pipeline.storage.errors import DamagedFileError, explain_errors
from pipeline.storage.files import open_binary
from pipeline.storage.paths import is_remote, local_path

_ROWS_AT_ONCE = 1024


def open_parquet(path: str) -> BinaryIO:
    """A binary file for pyarrow.

    Local files are opened by pyarrow itself: its threads release a Python file some time after the last row, and one
    that is released while the interpreter exits crashes the process.
    """
    if is_remote(path):
        return open_binary(path)
    with explain_errors(path, "read"):
        return effects.open_with(lambda: cast(BinaryIO, pa.OSFile(local_path(path))), local_path(path))


class WithoutPandas(MetaPathFinder):
    """In `sys.meta_path` of a process that makes no use of pandas: `import pandas` fails.

    pyarrow imports pandas, where it is installed, to ask whether a list is a Series: 0.4 s, an eighth of the fixed cost
    of a small run.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def read_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """The open file. Raises DamagedFileError for a damaged file or one of another format, also while it is read."""
    with explain_errors(path, "read"), open_parquet(path) as file:
        try:
            yield pq.ParquetFile(file)
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:  # names of columns need not be UTF-8
            if isinstance(error, OSError) and error.errno is not None:
                raise  # from the operating system; pyarrow's own have no number
            raise DamagedFileError(
                f"{path}: not a readable Parquet file ({' '.join(str(error).split())[:60]})"
            ) from error


def read_rows(path: str) -> Iterator[dict[str, Any]]:
    """Every row, in order, about a thousand in memory at a time."""
    with read_parquet(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_ROWS_AT_ONCE):
            yield from batch.to_pylist()


def count_rows(path: str) -> int:
    """The number of rows, from the footer, which a writer writes last."""
    with read_parquet(path) as parquet:
        return int(parquet.metadata.num_rows)
