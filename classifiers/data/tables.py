"""Read and write JSON Lines and Parquet files in batches, so that files may be larger than memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.errors import NothingFoundError, UserError
from classifiers.outputs import partial_file

Row = dict[str, Any]
Item = TypeVar("Item")
BATCH = 512


def is_parquet(path: Path) -> bool:
    """By the name: .parquet is Parquet, .jsonl and .jsonl.gz are JSON Lines; raises UserError for other names."""
    if path.suffix == ".parquet":
        return True
    if path.name.endswith((".jsonl", ".jsonl.gz", ".json", ".json.gz", ".ndjson")):
        return False
    raise UserError(f"{path}: the name should end in .jsonl, .jsonl.gz or .parquet")


def read_batches(path: Path, columns: Sequence[str] | None = None, size: int = BATCH) -> Iterator[list[Row]]:
    """Lists of at most `size` rows; of Parquet only `columns`, where given and present."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: name a .jsonl, .jsonl.gz or .parquet file")
    if is_parquet(path):
        yield from _parquet_batches(path, columns, size)
        return
    batch: list[Row] = []
    with _open_text(path, "rt") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                batch.append(_json_row(line, path, number))
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """The open file. Raises UserError for a damaged file or one of another format, also while it is read."""
    try:
        with pq.ParquetFile(path) as parquet:
            yield parquet
    except (pa.ArrowException, UnicodeDecodeError) as error:  # names of columns need not be UTF-8
        raise UserError(f"{path} is not a readable Parquet file: {error}") from error


def _parquet_batches(path: Path, columns: Sequence[str] | None, size: int) -> Iterator[list[Row]]:
    with open_parquet(path) as parquet:
        names = parquet.schema_arrow.names
        wanted = [name for name in columns if name in names] if columns is not None else names
        for batch in parquet.iter_batches(batch_size=size, columns=wanted):
            yield batch.to_pylist()


def _json_row(line: str, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error.msg}); expected one object per line") from None
    if not isinstance(row, dict):
        raise UserError(f"{path}, line {number}: found a {type(row).__name__}, expected an object with a `text` field")
    return row


def _open_text(path: Path, mode: str) -> Any:
    if path.name.endswith(".gz"):
        return gzip.open(path, mode, encoding="utf-8")
    return path.open(mode, encoding="utf-8")


def texts_of(batch: Sequence[Row], path: Path) -> list[str]:
    """The `text` of every row; a null is read as empty, a missing column raises UserError."""
    for row in batch:
        if "text" not in row:
            raise UserError(f"{path}: a row has no `text`; its columns are {', '.join(row) or 'none'}")
    return [row["text"] or "" for row in batch]


def add_columns(source: Path, target: Path, score: Callable[[list[Row]], dict[str, list[Any]]]) -> int:
    """Write `source` to `target` (of either format) with the columns that `score` computes; returns the number of rows.

    The target is written under a temporary name and renamed when it is complete. Raises NothingFoundError for a source
    without rows.
    """
    rows = 0
    batches = require_any(
        read_batches(source), f"{source}: has no rows, so {target} was not written; name another file"
    )
    with partial_file(target) as partial, ExitStack() as stack:
        write = _parquet_writer(partial, source, stack) if is_parquet(target) else _json_writer(partial, target, stack)
        for batch in batches:
            scored = score(batch)
            write([row | {name: values[i] for name, values in scored.items()} for i, row in enumerate(batch)])
            rows += len(batch)
    return rows


def require_any(items: Iterable[Item], problem: str) -> Iterator[Item]:
    """The items; raises NothingFoundError at the end if there was none, before whoever writes them names the file."""
    found = False
    for item in items:
        found = True
        yield item
    if not found:
        raise NothingFoundError(problem)


def _json_writer(partial: Path, target: Path, stack: ExitStack) -> Callable[[list[Row]], None]:
    opener = gzip.open if target.name.endswith(".gz") else open
    file = stack.enter_context(opener(partial, "wt", encoding="utf-8"))

    def write(rows: list[Row]) -> None:
        file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)

    return write


def _parquet_writer(partial: Path, source: Path, stack: ExitStack) -> Callable[[list[Row]], None]:
    known = None
    if is_parquet(source):
        with open_parquet(source) as parquet:
            known = list(parquet.schema_arrow)
    writers: list[pq.ParquetWriter] = []

    def write(rows: list[Row]) -> None:
        if not writers:
            found = [_set_type(field) for field in pa.Table.from_pylist(rows).schema]
            kept = {field.name for field in known} if known is not None else set()
            fields = [*known, *(f for f in found if f.name not in kept)] if known is not None else list(found)
            writers.append(stack.enter_context(pq.ParquetWriter(partial, pa.schema(fields), compression="zstd")))
        writers[0].write_table(pa.Table.from_pylist(rows, schema=writers[0].schema))

    return write


def _set_type(field: pa.Field) -> pa.Field:
    # A column that is all null in the first batch may have any type later; text is the most likely.
    return field.with_type(pa.string()) if pa.types.is_null(field.type) else field


def write_jsonl(rows: Iterable[Row], path: Path) -> int:
    """Writes JSON Lines (gzipped if the name ends in .gz), under a temporary name until complete; returns the rows."""
    count = 0
    opener = gzip.open if path.name.endswith(".gz") else open
    with partial_file(path) as partial, opener(partial, "wt", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count
