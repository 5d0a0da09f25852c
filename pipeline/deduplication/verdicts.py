"""The file of verdicts: one small Parquet file per unit, its rows in the order of the staged file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage import read_rows, write_atomically

VERDICT_SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string()),  # null: kept
        pa.field("survivor", pa.string()),  # id of the kept document that represents this one
        pa.field("snapshot", pa.string()),  # name of the earlier output that published it; null: this run
        pa.field("value", pa.float64()),  # similarity, or the number of words left
        pa.field("threshold", pa.float64()),
        pa.field("duplicates", pa.int64(), nullable=False),  # number of dropped documents that this one represents
        pa.field("remove", pa.list_(pa.int32()), nullable=False),  # numbers of the lines to remove from a kept document
    ]
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one staged document: kept or dropped, and the lines to remove."""

    reason: str | None = None
    survivor: str | None = None
    snapshot: str | None = None
    value: float | None = None
    threshold: float | None = None
    duplicates: int = 0
    remove: tuple[int, ...] = ()

    @property
    def kept(self) -> bool:
        return self.reason is None


def write_verdicts(path: str, verdicts: dict[str, list[Any]]) -> None:
    """Writes the columns of `VERDICT_SCHEMA`."""
    table = pa.Table.from_pydict(verdicts, schema=VERDICT_SCHEMA)
    with write_atomically(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_verdicts(path: str) -> Iterator[Verdict]:
    """The verdicts of a unit, in the order of its staged rows."""
    for row in read_rows(path):
        yield Verdict(**{**row, "remove": tuple(row["remove"])})
