"""Near duplicates: greedy by quality, exactly, without transitive closure and without a step on one worker.

Wanted is what one patient worker would do: take the documents best first, and keep each one unless it matches (shares
a band, and is similar by the sketch) a document that is already kept. So no two kept documents match, and every
dropped one matches a *kept and better* one directly. Chains (A like B, B like C, A unlike C) do not pull A down.

To spread the work, each band bucket is walked on its own, best first. A document is
  free      in a bucket where it matches nobody better,
  a copy    of every *leader* it matches (leaders are the bucket's free documents),
  blocked   where it matches only documents that are copies themselves.
Free in all its buckets: kept, for good. Copy of a document that is kept: dropped, for good. The others wait for the
next round, and need to be compared only with each other: had one matched a kept document, the walk would have said so.
Rounds shrink fast; what a few of them leave over is settled by the patient worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, counts_of, to_units
from pipeline.deduplication.minhash import agreement_for
from pipeline.deduplication.records import (
    LINK,
    NOBODY,
    RANKED,
    Array,
    StagedUnit,
    best_first,
    first_of_group,
    joined,
    links,
    ranked,
    row_of,
)
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason

NEAR = list(DuplicateReason).index(DuplicateReason.NEAR_DUPLICATE)
FULL = len(DuplicateReason)  # reason code of a note, not of a link: this document met a bucket at its limit
_PAIRS = 1 << 15  # compared at a time: 144 bytes each

# Documents (RANKED + sketch), band keys, the document (its place) of each key: arrays, and as they cross.
Bucketed = tuple[Array, Array, Array]
Packed = tuple[bytes, bytes, bytes]


def banded(unit: StagedUnit, settings: DeduplicateSettings) -> tuple[Array, Array, Array]:
    """Rows that have shingles, their band keys (rows, bands) and sketches (rows, bytes)."""
    table = unit.columns(["bands", "sketch"])
    bands, sketches = table["bands"].to_pylist(), table["sketch"].to_pylist()
    rows = np.array([row for row, value in enumerate(bands) if value], np.int64)
    keys = np.frombuffer(b"".join(bands), "<u8")
    values = np.frombuffer(b"".join(sketches), np.uint8)
    if len(keys) != len(rows) * settings.bands or len(values) != len(rows) * settings.signature_rows:
        raise ValueError(
            f"{unit.path}: its sketches are not of {settings.bands} bands of {settings.rows} rows; "
            "set deduplicate.bands and deduplicate.rows to those of the run that wrote them"
        )
    return rows, keys.reshape(-1, settings.bands), values.reshape(-1, settings.signature_rows)


def bucketed(unit: StagedUnit, settings: DeduplicateSettings, wanted: Array) -> Bucketed:
    """What a partition needs to compare documents; `wanted` is a mask over `banded`'s rows and bands."""
    rows, keys, sketches = banded(unit, settings)
    records = ranked(unit, settings, _sketched(settings))[rows]
    records["sketch"] = sketches
    places, bands = np.nonzero(wanted)
    return records, keys[places, bands], places


def _sketched(settings: DeduplicateSettings) -> np.dtype[Any]:
    return np.dtype([*RANKED, ("sketch", "u1", settings.signature_rows)])


# --- at units ---


def undecided(inbox: Inbox, rows: Array, turn: int) -> Array:
    """Mask over `rows` of the documents that this round has to decide."""
    standing = inbox.standing(int(rows.max(initial=-1)) + 1)[rows]
    if turn == 0:
        return standing
    return standing & np.isin(rows, row_of(_blocked(inbox, turn - 1)))


def _blocked(inbox: Inbox, turn: int) -> Array:
    return inbox.records(f"blocked {turn}", "<u8")


def band_keys(job: Job, inbox: Inbox) -> Iterator[tuple[int, Any]]:
    """Before anything larger travels: 8 bytes a band, to find the buckets with more than one document."""
    rows, keys, _ = banded(inbox.unit, job.settings)
    flat = keys[undecided(inbox, rows, 0) & job.settings.near].ravel()
    for partition, part in job.to_partitions(flat, flat):
        yield partition, (inbox.index, part)


def sketches(job: Job, inbox: Inbox, turn: int) -> Iterator[tuple[int, Any]]:
    """The undecided documents, to the partitions of their crowded buckets."""
    rows, keys, _ = banded(inbox.unit, job.settings)
    shared = counts_of(keys.ravel(), inbox).reshape(keys.shape) > 1
    yield from _to_partitions(job, inbox, shared & undecided(inbox, rows, turn)[:, None])


def rest(job: Job, inbox: Inbox, turn: int) -> Iterator[tuple[int, Any]]:
    """The documents that the rounds have left undecided, to one place."""
    rows, keys, _ = banded(inbox.unit, job.settings)
    wanted = np.broadcast_to(undecided(inbox, rows, turn)[:, None], keys.shape)
    yield from _to_partitions(Job(job.settings, 1, job.folder), inbox, wanted)


def _to_partitions(job: Job, inbox: Inbox, wanted: Array) -> Iterator[tuple[int, Packed]]:
    if not wanted.any():
        return
    records, keys, places = bucketed(inbox.unit, job.settings, wanted)
    for partition, chosen in job.partitioned(np.arange(len(keys)), keys):
        used, local = np.unique(places[chosen], return_inverse=True)
        yield partition, (records[used].tobytes(), keys[chosen].tobytes(), local.astype("<u4").tobytes())


def settle(inbox: Inbox, turn: int) -> Iterator[Message]:
    """A unit knows which of its documents are free, hence kept, and tells it to those who are copies of them."""
    found = inbox.links("found")
    blocked = np.unique(found["document"])
    yield inbox.index, (f"blocked {turn}", blocked.tobytes())
    yield inbox.index, ("full", inbox.links("full").tobytes())
    asked = inbox.links("asked")
    kept = asked[~np.isin(asked["leader"], blocked)]
    yield from to_units("lost", kept, kept["document"])


# --- at partitions ---


def walk(settings: DeduplicateSettings, blobs: Sequence[Packed]) -> Iterator[Message]:
    """Walks the partition's buckets; tells each finding to the unit of the document and to that of its leader."""
    found = compare(settings, blobs)
    notes = found[found["reason"] == FULL]
    found = found[found["reason"] == NEAR]
    yield from to_units("full", notes, notes["document"])
    yield from to_units("found", found, found["document"])
    named = found[found["leader"] != NOBODY]
    yield from to_units("asked", named, named["leader"])


def compare(settings: DeduplicateSettings, blobs: Sequence[Packed]) -> Array:
    """All findings in these buckets, as `LINK` records without repetition."""
    records, keys, rank = _sorted(settings, blobs)
    need = agreement_for(settings.threshold, settings.signature_rows)
    previous = records["preference"][rank] == 0
    first = first_of_group(keys)
    agreeing = agreeing_bytes(records["sketch"], rank, rank[first])
    # A bucket is simple when everybody in it is a copy of the first one: all of them are settled at a stroke.
    others = first != np.arange(len(first))
    loose = others & ((agreeing < need) | previous)
    tangled = np.zeros(len(first), bool)
    tangled[first[loose]] = True
    simple = np.flatnonzero(others & ~tangled[first])
    found = [links(records["document"][rank[simple]], records["document"][rank[first[simple]]], NEAR, agreeing[simple])]
    starts = np.flatnonzero(tangled)
    ends = np.searchsorted(first, starts, side="right")
    found += [_walk_bucket(records[rank[i:j]], need, settings.bucket_limit) for i, j in zip(starts, ends, strict=True)]
    return np.unique(np.concatenate(found))


def _sorted(settings: DeduplicateSettings, blobs: Sequence[Packed]) -> tuple[Array, Array, Array]:
    """Documents best first; band keys in ascending order, each with the rank of its document, best first."""
    records = joined([blob[0] for blob in blobs], _sketched(settings))
    keys = joined([blob[1] for blob in blobs], "<u8")
    starts = np.cumsum([0, *(len(blob[0]) for blob in blobs)]) // records.itemsize
    places = [np.frombuffer(blob[2], "<u4") + start for blob, start in zip(blobs, starts, strict=False)]
    place = np.concatenate([np.empty(0, np.int64), *places])
    order = np.lexsort(best_first(records))
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    rank = rank_of[place]
    by_key = np.lexsort((rank, keys))
    return records[order], keys[by_key], rank[by_key]


def agreeing_bytes(sketches: Array, one: Array, other: Array) -> Array:
    """Agreeing sketch bytes of the pairs (one[i], other[i])."""
    counts = np.empty(len(one), np.int64)
    for start in range(0, len(one), _PAIRS):
        part = slice(start, start + _PAIRS)
        counts[part] = (sketches[one[part]] == sketches[other[part]]).sum(axis=1)
    return counts


def _walk_bucket(members: Array, need: int, limit: int) -> Array:
    """One bucket, best first, as the module says."""
    leaders: list[int] = []
    copies: list[int] = []
    found = []
    for place, member in enumerate(members):
        if member["preference"] == 0:  # of an earlier run: not judged
            leaders.append(place)
            continue
        document = members["document"][place : place + 1]
        agreeing = (members["sketch"][leaders] == member["sketch"]).sum(axis=1)
        matching = np.flatnonzero(agreeing >= need)
        if len(matching):
            mine = members["document"][np.array(leaders)[matching]]
            found.append(links(np.repeat(document, len(mine)), mine, NEAR, agreeing[matching]))
            copies.append(place)
        elif ((members["sketch"][copies[:limit]] == member["sketch"]).sum(axis=1) >= need).any():
            found.append(links(document, NOBODY, NEAR))
            copies.append(place)
        elif len(leaders) < limit:
            leaders.append(place)
        else:
            found.append(links(document, NOBODY, FULL))
    return np.concatenate([np.empty(0, LINK), *found])


def settle_rest(settings: DeduplicateSettings, blobs: Sequence[Packed]) -> Iterator[Message]:
    """The patient worker: for what the rounds left over, bounded by how fast they shrink."""
    lost = greedy(settings, blobs)
    yield from to_units("lost", lost, lost["document"])


def greedy(settings: DeduplicateSettings, blobs: Sequence[Packed]) -> Array:
    """Links from every dropped document to the kept one it is most similar to, among those sharing a band."""
    records, keys, rank = _sorted(settings, blobs)
    need = agreement_for(settings.threshold, settings.signature_rows)
    by_rank = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[by_rank], np.arange(len(records) + 1))
    kept: dict[int, list[int]] = {}  # band key -> kept documents
    lost = [np.empty(0, LINK)]
    for place in range(len(records)):
        mine = keys[by_rank[starts[place] : starts[place + 1]]].tolist()
        candidates = np.array(sorted({other for key in mine for other in kept.get(key, ())}), np.int64)
        agreeing = (records["sketch"][candidates] == records["sketch"][place]).sum(axis=1)
        matching = agreeing >= need
        if matching.any():
            leaders = records["document"][candidates[matching]]
            document = records["document"][place : place + 1]
            lost.append(links(np.repeat(document, len(leaders)), leaders, NEAR, agreeing[matching]))
        else:
            for key in mine:
                kept.setdefault(key, []).append(place)
    return np.concatenate(lost)
