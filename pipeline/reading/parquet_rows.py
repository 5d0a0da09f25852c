"""Read rows of a Parquet file, or of a byte range of one: some columns, a few rows at a time.

Rows have no bytes of their own in a file of columns. Row j of the n rows of a row group counts as starting j/n of the
way through the group's bytes; it belongs to the range in which it starts. So every split of a file gives the same rows,
and a file with one large row group is shared out as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ParquetRow:
    """The wanted columns of one row."""

    number: int  # from 0, in the file
    position: int  # byte of the file at which it counts as starting
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DamagedRows:
    """Rows that cannot be read: the number of the first one, and why."""

    number: int
    position: int
    error: str


def column_names(path: str) -> list[str]:
    """The columns of the file. Raises DamagedFileError if it is no Parquet file."""
    with storage.read_parquet(path) as parquet:
        return list(parquet.schema_arrow.names)


def read_rows(path: str, start: int, end: int, columns: Collection[str]) -> Iterator[ParquetRow | DamagedRows]:
    """The rows that start in [start, end), with those of the columns that the file has.

    Damage is believed when it is there at a second reading, too: pyarrow says the same of a disk that gave too little.
    """
    done = 0
    for is_second in (False, True):
        for found in islice(_read_rows(path, start, end, columns), done, None):
            if isinstance(found, DamagedRows) and not is_second:
                break
            yield found
            done += 1
        else:
            return


def _read_rows(path: str, start: int, end: int, columns: Collection[str]) -> Iterator[ParquetRow | DamagedRows]:
    try:
        with storage.read_parquet(path) as parquet:
            names = [name for name in parquet.schema_arrow.names if name in columns]
            for group in _row_groups(parquet, storage.size(path)):
                if group.rows and group.start < end and start < group.end:
                    yield from _read_group(parquet, group, start, end, names)
    except storage.DamagedFileError as error:
        if start == 0:
            yield DamagedRows(0, 0, str(error))


def read_row(path: str, number: int, columns: Collection[str]) -> ParquetRow | DamagedRows | None:
    """The row with this number, None if there is none."""
    with storage.read_parquet(path) as parquet:
        names = [name for name in parquet.schema_arrow.names if name in columns]
        for group in _row_groups(parquet, storage.size(path)):
            if group.first <= number < group.first + group.rows:
                rows = _read_group(parquet, group, 0, group.end, names)
                return next(islice(rows, number - group.first, None), None)
    return None


@dataclass(frozen=True, slots=True)
class _RowGroup:
    index: int
    first: int  # number of its first row
    rows: int
    start: int  # bytes of the file
    end: int

    def position(self, row: int) -> int:
        return self.start + (self.end - self.start) * row // self.rows


def _row_groups(parquet: pq.ParquetFile, size: int) -> Iterator[_RowGroup]:
    """The row groups in file order, each starting where the one before it ends: the offsets in a footer may be wrong.

    Each has the share of the file's bytes that the footer gives the group: to ask for that of a column aborts the
    process where it is damaged. None starts at or ends after `size`, so that every row is in some range of the file.
    """
    metadata, first, start, before = parquet.metadata, 0, 0, 0
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    weights = [max(group.total_byte_size, 1) for group in groups]
    total = sum(weights)
    for index, (group, weight) in enumerate(zip(groups, weights, strict=True)):
        before += weight
        start = min(start, size - 1)
        end = min(max(size * before // total, start + 1), size)
        yield _RowGroup(index, first, group.num_rows, start, end)
        first, start = first + group.num_rows, end


def _read_group(
    parquet: pq.ParquetFile, group: _RowGroup, start: int, end: int, columns: list[str]
) -> Iterator[ParquetRow | DamagedRows]:
    number = 0
    try:
        for values in _read_values(parquet, group, columns):
            position = group.position(number)
            if position >= end:
                return
            if position >= start:
                yield ParquetRow(group.first + number, position, values)
            number += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        position = group.position(min(number, group.rows - 1))
        if start <= position < end:
            yield DamagedRows(group.first + number, position, str(error)[:200])


def _read_values(parquet: pq.ParquetFile, group: _RowGroup, columns: list[str]) -> Iterator[dict[str, Any]]:
    if not columns:
        yield from ({} for _ in range(group.rows))
        return
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=[group.index], columns=columns, use_threads=False):
        by_column = [_to_python(batch.column(name)) for name in batch.schema.names]
        yield from (dict(zip(batch.schema.names, values, strict=True)) for values in zip(*by_column, strict=True))


def _to_python(column: pa.Array) -> list[Any]:
    """The column's values. Text that is not UTF-8, and times that Python has no type for, do not end the batch."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = column.cast(pa.large_binary()).to_pylist()
        return [value if value is None else value.decode("utf-8", "replace") for value in values]
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("s", kind.tz), safe=False).cast(pa.string())
    result: list[Any] = column.to_pylist()
    return result
