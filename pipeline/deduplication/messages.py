"""What units and partitions tell each other. Every message is one fat element: Beam's cost is by element.

A *unit* is one staged file; only there rows are read. A *partition* holds all records of its share of the keys; only
there documents of different units meet. The two take turns:

    unit --(partition, blob)--> partition --(unit, (tag, blob))--> unit ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.deduplication.records import LINK, Array, Unit, grouped, joined, row_of
from pipeline.deduplication.settings import Settings

Message = tuple[int, tuple[str, Any]]
_BYTES_A_DOCUMENT = 1000  # the largest exchange: sketches, when a fifth of the documents have near copies


def partition_count(documents: int, settings: Settings) -> int:
    """As many partitions as it takes for `partition_bytes` each."""
    return max(1, -(-documents * _BYTES_A_DOCUMENT // settings.partition_bytes))


@dataclass(frozen=True, slots=True)
class Job:
    """What every step knows."""

    settings: Settings
    partitions: int
    folder: str  # where the verdicts go

    def partitioned(self, records: Array, keys: Array) -> Iterable[tuple[int, Array]]:
        """(partition, records); `keys` are hashes already."""
        return grouped(records, np.asarray(keys % np.uint64(self.partitions), np.int64))


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
    def unit(self) -> Unit:
        unit: Unit = self.by_tag["unit"][0]
        return unit

    def all(self, tag: str) -> list[Any]:
        return self.by_tag.get(tag, [])

    def links(self, tag: str) -> Array:
        return joined(self.all(tag), LINK)

    def standing(self, rows: int) -> Array:
        """Mask of the rows that no step has dropped so far."""
        mask = np.ones(rows, bool)
        mask[row_of(self.links("lost")["document"])] = False
        return mask


def to_units(tag: str, records: Array, documents: Array) -> Iterator[Message]:
    """The records, each to the unit of its entry in `documents`."""
    for unit, part in grouped(records, np.asarray(documents >> np.uint64(32), np.int64)):
        yield unit, (tag, part)


# --- counting keys: which ones occur in more than one place? ---


def count(blobs: list[tuple[int, Array]]) -> Iterator[Message]:
    """At a partition, for (unit, keys): to each unit the places of its keys that others have too, and how often."""
    if not blobs:
        return
    _, inverse, counts = np.unique(np.concatenate([keys for _, keys in blobs]), return_inverse=True, return_counts=True)
    totals = np.split(counts[inverse], np.cumsum([len(keys) for _, keys in blobs])[:-1])
    for (unit, keys), total in zip(blobs, totals, strict=True):
        shared = np.flatnonzero(total > 1)
        if len(shared):
            yield unit, ("counts", (keys[shared], total[shared]))


def counts_of(keys: Array, answers: list[tuple[Array, Array]]) -> Array:
    """At a unit: how often each key occurs in all units together (1 where nobody answered)."""
    counts = np.ones(len(keys), np.int64)
    if not answers:
        return counts
    known = np.concatenate([key for key, _ in answers])
    order = np.argsort(known, kind="stable")
    places = np.searchsorted(known[order], keys)
    places = order[np.minimum(places, len(known) - 1)]
    found = known[places] == keys
    return np.where(found, np.concatenate([total for _, total in answers])[places], counts)
