"""The messages that units and partitions exchange, and the counting of keys across units.

A *unit* is one staged file; only steps at a unit read its rows. A *partition* is a share of all keys (key modulo the
number of partitions); only steps at a partition see documents of different units together. The steps alternate:

    unit --(partition, blob)--> partition --(unit, (tag, blob))--> unit ...

Beam's cost is per element, so one message holds many records, as plain bytes: with thousands of partitions a message
is a record or two, and a pickled numpy array would take ten times that. The tags, what their blobs hold, and when:

    unit           StagedUnit    the unit itself; always there
    duplicates     LINK          documents of the unit that are dropped, each with the better one that it duplicates
    counts         COUNTED       keys of the unit that other documents have too (bands, then lines)
    matches        LINK          documents of the unit that match a better one in a bucket of near duplicates
    matched        LINK          the same records, sent to the unit of the better document
    waiting N      uint64        documents of the unit that round N of near duplicates did not keep
    full_bucket    LINK          documents of the unit that met a bucket at `bucket_limit`
    own_links      LINK          one link per dropped document of the unit
    links_here     LINK          links to documents of the unit
    dropped        DROPPED       dropped documents of the unit, each with its survivor's id and earlier output
    represents     REPRESENTS    survivors of the unit, each with the number of duplicates it represents
    kept_elsewhere LINED         lines of the unit that are kept on a better page
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.deduplication.records import LINK, Array, StagedUnit, group_records, join_records, rows_of
from pipeline.deduplication.settings import DeduplicateSettings

Message = tuple[int, tuple[str, Any]]  # to a unit: (its number, (tag, blob))
Parcel = tuple[int, Any]  # to a partition: (its number, blob or a tuple with blobs)
COUNTED = np.dtype([("key", "<u8"), ("total", "<i8")])
_BYTES_PER_DOCUMENT = 1000  # in the largest exchange: sketches, when a fifth of the documents have near duplicates


def partition_count(documents: int, settings: DeduplicateSettings) -> int:
    """The number of partitions of `partition_bytes` each."""
    return max(1, -(-documents * _BYTES_PER_DOCUMENT // settings.partition_bytes))


@dataclass(frozen=True, slots=True)
class Job:
    """The same for every step: settings, number of partitions, folders."""

    settings: DeduplicateSettings
    partitions: int
    folder: str  # of the verdict files
    spill: str | None = None  # folder for what crosses a shuffle (spill.py); None: the engine stores it

    def partition_records(self, records: Array, keys: Array) -> Iterable[tuple[int, Array]]:
        """(partition, its records); `keys` are hashes, one per record."""
        return group_records(records, np.asarray(keys % np.uint64(self.partitions), np.int64))

    def send_to_partitions(self, records: Array, keys: Array) -> Iterator[Parcel]:
        """(partition, its records as bytes)."""
        for partition, part in self.partition_records(records, keys):
            yield partition, part.tobytes()


@dataclass(slots=True)
class Inbox:
    """All messages to one unit, by tag. They arrive in any order: the steps that read them sort or count."""

    index: int
    by_tag: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def from_messages(cls, index: int, messages: Iterable[tuple[str, Any]]) -> Inbox:
        inbox = cls(index)
        for tag, payload in messages:
            inbox.by_tag.setdefault(tag, []).append(payload)
        return inbox

    @property
    def unit(self) -> StagedUnit:
        unit: StagedUnit = self.by_tag["unit"][0]
        return unit

    def records(self, tag: str, dtype: np.typing.DTypeLike) -> Array:
        return join_records(self.by_tag.get(tag, []), dtype)

    def links(self, tag: str) -> Array:
        return self.records(tag, LINK)

    def mask_not_dropped(self, rows: int) -> Array:
        """Mask of the unit's first `rows` rows: those that no step has dropped so far."""
        mask = np.ones(rows, bool)
        mask[rows_of(self.links("duplicates")["document"])] = False
        return mask


def send_to_units(tag: str, records: Array, documents: Array) -> Iterator[Message]:
    """The records, each to the unit of its document in `documents`."""
    for unit, part in group_records(records, np.asarray(documents >> np.uint64(32), np.int64)):
        yield unit, (tag, part.tobytes())


# --- counting keys over all units ---


def send_keys(job: Job, inbox: Inbox, keys: Array) -> Iterator[Parcel]:
    """Step at a unit: its keys, with its number for the answer of `count_keys`."""
    for partition, blob in job.send_to_partitions(keys, keys):
        yield partition, (inbox.index, blob)


def count_keys(job: Job, parcels: Sequence[tuple[int, bytes]]) -> Iterator[Message]:
    """Step at a partition: to each unit those of its keys that occur more than once, and how often."""
    keys = join_records([blob for _, blob in parcels], "<u8")
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    counted = np.empty(len(keys), COUNTED)
    counted["key"], counted["total"] = keys, counts[inverse]
    ends = np.cumsum([len(blob) // keys.itemsize for _, blob in parcels])
    for (unit, _), part in zip(parcels, np.split(counted, ends[:-1]), strict=True):
        repeated = part[part["total"] > 1]
        if len(repeated):
            yield unit, ("counts", repeated.tobytes())


def look_up_counts(keys: Array, inbox: Inbox) -> Array:
    """How often each key occurs in all units together; a key without an answer occurs once."""
    known = inbox.records("counts", COUNTED)
    if not len(known):
        return np.ones(len(keys), np.int64)
    known = known[np.argsort(known["key"], kind="stable")]
    found = known[np.minimum(np.searchsorted(known["key"], keys), len(known) - 1)]
    return np.where(found["key"] == keys, found["total"], 1)
