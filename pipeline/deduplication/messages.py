"""What units and partitions tell each other. Every message is one fat element: Beam's cost is by element. It holds
records as plain bytes: with thousands of partitions it is a record or two, and a pickled array would be ten times that.

A *unit* is one staged file; only there rows are read. A *partition* holds all records of its share of the keys; only
there documents of different units meet. The two take turns:

    unit --(partition, blob)--> partition --(unit, (tag, blob))--> unit ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.deduplication.records import LINK, Array, StagedUnit, grouped, joined, row_of
from pipeline.deduplication.settings import DeduplicateSettings

Message = tuple[int, tuple[str, bytes]]
COUNTED = np.dtype([("key", "<u8"), ("total", "<i8")])
_BYTES_A_DOCUMENT = 1000  # the largest exchange: sketches, when a fifth of the documents have near copies


def partition_count(documents: int, settings: DeduplicateSettings) -> int:
    """As many partitions as it takes for `partition_bytes` each."""
    return max(1, -(-documents * _BYTES_A_DOCUMENT // settings.partition_bytes))


@dataclass(frozen=True, slots=True)
class Job:
    """What every step knows."""

    settings: DeduplicateSettings
    partitions: int
    folder: str  # where the verdicts go

    def partitioned(self, records: Array, keys: Array) -> Iterable[tuple[int, Array]]:
        """(partition, records); `keys` are hashes already."""
        return grouped(records, np.asarray(keys % np.uint64(self.partitions), np.int64))

    def to_partitions(self, records: Array, keys: Array) -> Iterator[tuple[int, bytes]]:
        """The same, as it crosses."""
        for partition, part in self.partitioned(records, keys):
            yield partition, part.tobytes()


@dataclass(slots=True)
class Inbox:
    """All messages to one unit. They arrive in any order: whoever reads them sorts or counts."""

    index: int
    by_tag: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, index: int, messages: Iterable[tuple[str, Any]]) -> Inbox:
        inbox = cls(index)
        for tag, payload in messages:
            inbox.by_tag.setdefault(tag, []).append(payload)
        return inbox

    @property
    def unit(self) -> StagedUnit:
        unit: StagedUnit = self.by_tag["unit"][0]
        return unit

    def records(self, tag: str, dtype: np.typing.DTypeLike) -> Array:
        return joined(self.by_tag.get(tag, []), dtype)

    def links(self, tag: str) -> Array:
        return self.records(tag, LINK)

    def standing(self, rows: int) -> Array:
        """Mask of the rows that no step has dropped so far."""
        mask = np.ones(rows, bool)
        mask[row_of(self.links("lost")["document"])] = False
        return mask


def to_units(tag: str, records: Array, documents: Array) -> Iterator[Message]:
    """The records, each to the unit of its entry in `documents`."""
    for unit, part in grouped(records, np.asarray(documents >> np.uint64(32), np.int64)):
        yield unit, (tag, part.tobytes())


# --- counting keys: which ones occur in more than one place? ---


def count(blobs: list[tuple[int, bytes]]) -> Iterator[Message]:
    """At a partition, for (unit, keys): to each unit those of its keys that others have too, and how often."""
    keys = joined([blob for _, blob in blobs], "<u8")
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    counted = np.empty(len(keys), COUNTED)
    counted["key"], counted["total"] = keys, counts[inverse]
    ends = np.cumsum([len(blob) // keys.itemsize for _, blob in blobs])
    for (unit, _), part in zip(blobs, np.split(counted, ends[:-1]), strict=True):
        shared = part[part["total"] > 1]
        if len(shared):
            yield unit, ("counts", shared.tobytes())


def counts_of(keys: Array, inbox: Inbox) -> Array:
    """At a unit: how often each key occurs in all units together (1 where nobody answered)."""
    known = inbox.records("counts", COUNTED)
    if not len(known):
        return np.ones(len(keys), np.int64)
    known = known[np.argsort(known["key"], kind="stable")]
    found = known[np.minimum(np.searchsorted(known["key"], keys), len(known) - 1)]
    return np.where(found["key"] == keys, found["total"], 1)
