"""The fixed-width records that cross the shuffle, how they are read from staged files, and which document is best.

A document is one number, `unit << 32 | row`: unit = number of its file, row = its row in that file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.storage import read_parquet

Array = NDArray[Any]

# A document with the fields that decide which of several duplicates stays: 50 bytes.
RANKED = [
    ("preference", "<u2"),  # 0: published by a previous run; then the entries of prefer_source; then all others
    ("quality", "<f8"),
    ("characters", "<i8"),
    ("date", "<i8"),  # digits of the ISO date as one number
    ("id", "<u8", 2),
    ("document", "<u8"),
]
KEYED = np.dtype([("key", "<u8", 2), *RANKED])  # 66 bytes: URL or text key
LINED = np.dtype([("key", "<u8"), *RANKED])  # 58 bytes: line key

# `document` is a duplicate of `leader`, a better document; `agreeing` bytes of their sketches are equal.
LINK = np.dtype([("document", "<u8"), ("leader", "<u8"), ("reason", "u1"), ("agreeing", "<u2")])
NO_LEADER = np.uint64(0xFFFFFFFFFFFFFFFF)  # in place of a leader: the document is blocked (see near.py)


@dataclass(frozen=True, slots=True)
class StagedUnit:
    """One input file: staged documents, or the stored sketches of a previous run, which get no verdicts."""

    index: int
    path: str
    previous: bool = False

    def columns(self, names: Sequence[str]) -> pa.Table:
        with read_parquet(self.path) as parquet:
            return parquet.read(columns=list(names))

    def documents(self, rows: Array) -> Array:
        return np.uint64(self.index << 32) | np.asarray(rows, np.uint64)


def rows_of(documents: Array) -> Array:
    """The row of each document in its unit."""
    return np.asarray(documents & np.uint64(0xFFFFFFFF), np.int64)


# --- arrays of records ---


def group_records(records: Array, keys: Array) -> Iterable[tuple[int, Array]]:
    """(key, the records with it), in ascending order of the keys."""
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    yield from zip(found.tolist(), np.split(records[order], starts[1:]), strict=False)


def group_starts(*keys: Array) -> Array:
    """For sorted keys: the position at which the group of each one starts."""
    if not len(keys[0]):
        return np.empty(0, np.int64)
    new = np.concatenate([[True], np.any([key[1:] != key[:-1] for key in keys], axis=0)])
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def make_links(documents: Array, leaders: Array | np.uint64, reason: int, agreeing: Any = 0) -> Array:
    """`LINK` records."""
    found = np.empty(len(documents), LINK)
    found["document"], found["leader"], found["reason"], found["agreeing"] = documents, leaders, reason, agreeing
    return found


def join_records(blobs: Iterable[bytes], dtype: np.typing.DTypeLike) -> Array:
    """The records of all blobs as one read-only array."""
    return np.frombuffer(b"".join(blobs), dtype)


def best_first(records: Array) -> tuple[Array, ...]:
    """Sort keys for `np.lexsort`, least important first: the total order in which the best duplicate comes first."""
    return (
        records["document"],
        records["id"][:, 1],
        records["id"][:, 0],
        records["date"],
        -records["characters"],
        -records["quality"],
        records["preference"],
    )


# --- reading a unit ---


def read_fixed_width(unit: StagedUnit, column: str, dtype: np.typing.DTypeLike, width: int) -> Array:
    """A column of equally long binary values as a (rows, width) array."""
    values = b"".join(unit.columns([column])[column].to_pylist())
    return np.frombuffer(values, dtype).reshape(-1, width)


def read_ranked(unit: StagedUnit, settings: DeduplicateSettings, dtype: np.dtype[Any]) -> Array:
    """One record per row of the unit, with the fields of `RANKED` filled in and the others zero."""
    if unit.previous:
        table = unit.columns(["id"])
    else:
        table = unit.columns(
            ["id", "quality_score", "characters", "fetched_at", "host", "registered_domain", "warc_file"]
        )
    records = np.zeros(table.num_rows, dtype)
    records["document"] = unit.documents(np.arange(table.num_rows))
    records["id"] = _id_numbers(table["id"])
    if unit.previous:
        return records
    records["quality"] = np.nan_to_num(_numbers(table["quality_score"]), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    records["characters"] = _numbers(table["characters"])
    records["date"] = [_date_number(text) for text in table["fetched_at"].to_pylist()]
    records["preference"] = _preferences(table, settings.prefer_source)
    return records


def _numbers(column: pa.ChunkedArray) -> Array:
    known = column.fill_null(0) if column.null_count else column  # it imports pyarrow.compute, 0.1 s
    return np.asarray(known.to_numpy())


def _id_numbers(column: pa.ChunkedArray) -> Array:
    """Ids of 32 hex digits as two numbers that sort like the text; other ids by their first 16 bytes."""
    digits = [
        bytes.fromhex(text) if len(text) == 32 else text.encode()[:16].ljust(16, b"\0") for text in column.to_pylist()
    ]
    return np.frombuffer(b"".join(digits), ">u8").reshape(-1, 2)


def _date_number(text: str | None) -> int:
    digits = "".join(c for c in text or "" if c in "0123456789")[:14]
    return int(digits or 0)


def _preferences(table: pa.Table, sources: Sequence[str]) -> Array:
    if not sources:
        return np.ones(table.num_rows, "<u2")
    rows = zip(*(table[name].to_pylist() for name in ("host", "registered_domain", "warc_file")), strict=True)
    return np.array(
        [1 + _preference(host or "", domain or "", file or "", sources) for host, domain, file in rows], "<u2"
    )


def _preference(host: str, domain: str, file: str, sources: Sequence[str]) -> int:
    """The position of the first entry of `sources` that the host, domain or file fits."""
    for place, source in enumerate(sources):
        named = host == source or domain == source or host.endswith(f".{source}")
        if named or file.startswith(source) or PurePosixPath(file).name.startswith(source):
            return place
    return len(sources)
