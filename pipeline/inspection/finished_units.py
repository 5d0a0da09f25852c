"""Which units of a run are finished, and the sum of their tallies.

The tally is the last file of a unit, so listing one folder finds the finished units. Each tally is read once and added
to the total; only the number of characters is kept per unit, because a crawl has more than a million units.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.ledger import Tally
from pipeline.reading.formats import CHECKED
from pipeline.storage.layout import Layout

UNIT_TABLE = pa.schema([("key", pa.string()), ("bytes", pa.int64())])


class FinishedUnits:
    """The finished units of one run; `update` adds those that were finished since the last call."""

    def __init__(self, layout: Layout, sizes: Mapping[str, int], max_reads: int | None = None) -> None:
        self.layout = layout
        self.sizes = sizes  # compressed input bytes by unit key; other units in the folder do not count
        self.total = Tally()  # of the tallies that were read
        self.characters: dict[str, int] = {}  # of kept text, by key of the finished unit
        self.unreadable: list[str] = []  # keys of the first units of which all pages are errors
        self.bytes = 0  # compressed input of the finished units
        self._reads_left = max_reads  # None: every tally is read
        self._bytes_read = 0  # compressed input of the units whose tally was read

    def __contains__(self, key: str) -> bool:
        return key in self.characters

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def is_exact(self) -> bool:
        """Whether every tally was read; otherwise `scale` turns `total` into an estimate."""
        return self._bytes_read == self.bytes

    @property
    def scale(self) -> float:
        """Input of the finished units per input of those whose tally was read."""
        return 1.0 if self.is_exact else self.bytes / max(self._bytes_read, 1)

    def update(self, *, check_files: bool = False) -> None:
        """Adds the units that were finished since the last call.

        With `check_files` a unit whose staged or drops file is missing or has another size than the worker wrote is not
        finished: its tally is removed, so that the unit is done again.
        """
        listed = (name.removesuffix(".json") for name in storage.file_sizes(self.layout.folder("tally")))
        new = sorted(key for key in listed if key in self.sizes and key not in self.characters)
        written = _list_file_sizes(self.layout) if check_files and new else None
        read = self._choose(new)
        for key, stored in zip(read, storage.map_in_threads(self._read, read), strict=True):
            if stored and (written is None or all(written[kind].get(key) == n for kind, n in stored.bytes.items())):
                self._add(key, stored.tally)
            elif check_files:
                storage.remove(self.layout.unit("tally", key))
        if len(read) < len(new):
            for key in set(new).difference(read):
                self.characters[key] = 0
                self.bytes += self.sizes[key]

    def _choose(self, new: list[str]) -> list[str]:
        """The units whose tally is read: all, or as many as `max_reads` allows, spread evenly."""
        if self._reads_left is None:
            return new
        count = min(self._reads_left, len(new))
        self._reads_left -= count
        return [new[i * len(new) // count] for i in range(count)]

    def _read(self, key: str) -> StoredTally | None:
        return parse_tally(storage.read_unchecked(self.layout.unit("tally", key)))

    def _add(self, key: str, tally: Tally) -> None:
        self.total.add(tally)
        if 0 < tally.pages == tally.errors and len(self.unreadable) < CHECKED:
            self.unreadable.append(key)
        self.characters[key] = tally.characters
        self.bytes += self.sizes[key]
        self._bytes_read += self.sizes[key]


@dataclass(frozen=True, slots=True)
class StoredTally:
    """The content of a tally file: the counts, and the sizes of the unit's other files by kind."""

    tally: Tally
    bytes: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The inverse of `parse_tally`."""
        return {**self.tally.to_json(), "file_bytes": self.bytes}


def parse_tally(content: bytes) -> StoredTally | None:
    """None for content that is not a tally file of this version."""
    try:
        values = json.loads(content)
        return StoredTally(Tally.from_json(values), values["file_bytes"])
    except (ValueError, KeyError, TypeError):
        return None


def _list_file_sizes(layout: Layout) -> dict[str, dict[str, int]]:
    """Bytes of the staged and drops files, by kind and unit key."""
    return {
        kind: {name.removesuffix(".parquet"): n for name, n in storage.file_sizes(layout.folder(kind)).items()}
        for kind in ("staged", "drops")
    }


def write_unit_sizes(layout: Layout, sizes: Mapping[str, int]) -> None:
    """Stores the run's units for `gristmill status`: a table, because a crawl has more than a million."""
    table = pa.table({"key": list(sizes), "bytes": list(sizes.values())}, UNIT_TABLE)
    with storage.write_atomically(layout.unit_table) as file:
        pq.write_table(table, file, compression="zstd")


def read_unit_sizes(layout: Layout) -> dict[str, int]:
    """Compressed input bytes by unit key."""
    with storage.read_parquet(layout.unit_table) as file:
        table = file.read()
    if not table.schema.equals(UNIT_TABLE):
        raise storage.DamagedFileError(f"{layout.unit_table}: not the units of a run; run `gristmill curate` again")
    return dict(zip(table["key"].to_pylist(), table["bytes"].to_pylist(), strict=True))
