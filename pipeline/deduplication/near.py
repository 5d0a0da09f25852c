"""Near duplicates: greedy deduplication, best documents first, without transitive closure, spread over partitions.

The result is that of a sequential algorithm: take the documents best first, and keep each one unless it matches (shares
a band with, and is similar by the sketch to) a document that is already kept. So no two kept documents match, and every
dropped one matches a kept and better one directly. Of a chain (A like B, B like C, A unlike C) with A best, only B is
dropped.

To spread the work, the documents of each band bucket are compared separately, best first. In its bucket a document is

    a leader      if it matches no better document,
    a duplicate   of every leader that it matches,
    blocked       if it matches only documents that are duplicates themselves.

A leader in all of its buckets is kept, for good. A duplicate of a kept document is dropped, for good. The others go
into the next round, where they are compared only with each other: a match with a kept document would have been found.
Each round leaves far fewer. After the last one, the documents still undecided are deduplicated sequentially, in one
place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, Parcel, look_up_counts, send_keys, send_to_units
from pipeline.deduplication.minhash import agreement_for
from pipeline.deduplication.records import (
    LINK,
    NO_LEADER,
    RANKED,
    Array,
    StagedUnit,
    best_first,
    group_starts,
    join_records,
    make_links,
    read_ranked,
    rows_of,
)
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.errors import UserError

NEAR = list(DuplicateReason).index(DuplicateReason.NEAR_DUPLICATE)
FULL_BUCKET = len(DuplicateReason)  # code of a note, not of a drop reason: the document met a bucket at its limit
_PAIRS = 1 << 15  # compared at a time: 144 bytes each

# Documents (RANKED and their sketches), band keys, and for each key the position of its document, as bytes.
BucketParcel = tuple[bytes, bytes, bytes]


# --- reading a unit ---


def read_bands(unit: StagedUnit, settings: DeduplicateSettings) -> tuple[Array, Array]:
    """Rows of the documents with enough tokens for a sketch, and their band keys, (rows, bands)."""
    bands = unit.columns(["bands"])["bands"].to_pylist()
    rows = np.array([row for row, value in enumerate(bands) if value], np.int64)
    keys = np.frombuffer(b"".join(bands), "<u8")
    return rows, _reshape(unit, settings, keys, len(rows), settings.bands)


def read_sketches(unit: StagedUnit, settings: DeduplicateSettings, rows: int) -> Array:
    """The sketches of the same documents, (rows, bytes)."""
    sketches = np.frombuffer(b"".join(unit.columns(["sketch"])["sketch"].to_pylist()), np.uint8)
    return _reshape(unit, settings, sketches, rows, settings.signature_rows)


def _reshape(unit: StagedUnit, settings: DeduplicateSettings, values: Array, rows: int, width: int) -> Array:
    if len(values) != rows * width:
        raise UserError(
            f"{unit.path}: its sketches are not of {settings.bands} bands of {settings.rows} rows; "
            "set deduplicate.bands and deduplicate.rows to those of the run that wrote them"
        )
    return values.reshape(-1, width)


def _document_dtype(settings: DeduplicateSettings) -> np.dtype[Any]:
    return np.dtype([*RANKED, ("sketch", "u1", settings.signature_rows)])


# --- steps at units ---


def send_band_keys(job: Job, inbox: Inbox) -> Iterator[Parcel]:
    """8 bytes per band, before anything larger is sent: to find the buckets with more than one document."""
    if not job.settings.near:
        return
    rows, keys = read_bands(inbox.unit, job.settings)
    yield from send_keys(job, inbox, keys[mask_undecided(inbox, rows, 0)].ravel())


def send_to_shared_buckets(job: Job, inbox: Inbox, turn: int) -> Iterator[Parcel]:
    """The undecided documents, to the partitions of those of their buckets that hold other documents too."""
    if not job.settings.near or (turn and not len(_waiting(inbox, turn))):
        return
    rows, keys = read_bands(inbox.unit, job.settings)
    shared = look_up_counts(keys.ravel(), inbox).reshape(keys.shape) > 1
    yield from _send_documents(job, inbox, rows, keys, shared & mask_undecided(inbox, rows, turn)[:, None])


def send_to_one_place(job: Job, inbox: Inbox, turn: int) -> Iterator[Parcel]:
    """The documents that the rounds left undecided, all to one partition."""
    if not len(_waiting(inbox, turn)):
        return
    rows, keys = read_bands(inbox.unit, job.settings)
    wanted = np.broadcast_to(mask_undecided(inbox, rows, turn)[:, None], keys.shape)
    yield from _send_documents(replace(job, partitions=1), inbox, rows, keys, wanted)


def mask_undecided(inbox: Inbox, rows: Array, turn: int) -> Array:
    """Mask over `rows` of the documents that this round has to decide."""
    mask = inbox.mask_not_dropped(int(rows.max(initial=-1)) + 1)[rows]
    return mask & np.isin(rows, rows_of(_waiting(inbox, turn))) if turn else mask


def _waiting(inbox: Inbox, turn: int) -> Array:
    """Documents that the round before `turn` did not keep."""
    return inbox.records(f"waiting {turn - 1}", "<u8")


def _send_documents(job: Job, inbox: Inbox, rows: Array, keys: Array, wanted: Array) -> Iterator[Parcel]:
    """Documents and keys where `wanted`, a mask over `keys`, is set: each document once per partition."""
    if not wanted.any():
        return
    documents = read_ranked(inbox.unit, job.settings, _document_dtype(job.settings))[rows]
    documents["sketch"] = read_sketches(inbox.unit, job.settings, len(rows))
    positions, bands = np.nonzero(wanted)
    wanted_keys = keys[positions, bands]
    for partition, chosen in job.partition_records(np.arange(len(wanted_keys)), wanted_keys):
        used, local = np.unique(positions[chosen], return_inverse=True)
        yield partition, (documents[used].tobytes(), wanted_keys[chosen].tobytes(), local.astype("<u4").tobytes())


def decide(job: Job, inbox: Inbox, turn: int) -> Iterator[Message]:
    """After a round: the unit's documents without a match are kept, and the documents that match them are dropped."""
    waiting = np.unique(inbox.links("matches")["document"])
    yield inbox.index, (f"waiting {turn}", waiting.tobytes())
    yield inbox.index, ("full_bucket", inbox.links("full_bucket").tobytes())
    matched = inbox.links("matched")
    duplicates = matched[~np.isin(matched["leader"], waiting)]
    yield from send_to_units("duplicates", duplicates, duplicates["document"])


# --- steps at partitions ---


def compare_buckets(job: Job, parcels: Sequence[BucketParcel]) -> Iterator[Message]:
    """Compares the documents of each bucket; sends each match to the units of both documents."""
    found = find_matches(job.settings, parcels)
    notes = found[found["reason"] == FULL_BUCKET]
    matches = found[found["reason"] == NEAR]
    yield from send_to_units("full_bucket", notes, notes["document"])
    yield from send_to_units("matches", matches, matches["document"])
    with_leader = matches[matches["leader"] != NO_LEADER]
    yield from send_to_units("matched", with_leader, with_leader["leader"])


def find_matches(settings: DeduplicateSettings, parcels: Sequence[BucketParcel]) -> Array:
    """All matches in these buckets and the notes of full ones, as distinct `LINK` records."""
    documents, keys, rank = _sort_parcels(settings, parcels)
    need = agreement_for(settings.threshold, settings.signature_rows)
    previous = documents["preference"][rank] == 0
    first = group_starts(keys)
    agreeing = count_agreeing(documents["sketch"], rank, rank[first])
    # In a simple bucket every document is a duplicate of the best one; most buckets are, and need no loop.
    is_first = first == np.arange(len(first))
    is_complex = np.zeros(len(first), bool)
    is_complex[first[~is_first & ((agreeing < need) | previous)]] = True
    simple = np.flatnonzero(~is_first & ~is_complex[first])
    leaders = documents["document"][rank[first[simple]]]
    found = [make_links(documents["document"][rank[simple]], leaders, NEAR, agreeing[simple])]
    starts = np.flatnonzero(is_complex)
    ends = np.searchsorted(first, starts, side="right")
    for start, end in zip(starts, ends, strict=True):
        found.append(_compare_bucket(documents[rank[start:end]], need, settings.bucket_limit))
    return np.unique(np.concatenate(found))


def _sort_parcels(settings: DeduplicateSettings, parcels: Sequence[BucketParcel]) -> tuple[Array, Array, Array]:
    """Documents best first; band keys in ascending order, each with the rank of its document, best first."""
    documents = join_records([parcel[0] for parcel in parcels], _document_dtype(settings))
    keys = join_records([parcel[1] for parcel in parcels], "<u8")
    starts = np.cumsum([0, *(len(parcel[0]) for parcel in parcels)]) // documents.itemsize
    positions = [np.frombuffer(parcel[2], "<u4") + start for parcel, start in zip(parcels, starts, strict=False)]
    position = np.concatenate([np.empty(0, np.int64), *positions])
    order = np.lexsort(best_first(documents))
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    rank = rank_of[position]
    by_key = np.lexsort((rank, keys))
    return documents[order], keys[by_key], rank[by_key]


def count_agreeing(sketches: Array, one: Array, other: Array) -> Array:
    """The number of equal sketch bytes of each pair (one[i], other[i])."""
    counts = np.empty(len(one), np.int64)
    for start in range(0, len(one), _PAIRS):
        part = slice(start, start + _PAIRS)
        counts[part] = (sketches[one[part]] == sketches[other[part]]).sum(axis=1)
    return counts


def _compare_bucket(members: Array, need: int, limit: int) -> Array:
    """Leaders, duplicates and blocked documents of one bucket; its members come best first."""
    leaders: list[int] = []
    duplicates: list[int] = []
    found = []
    for place, member in enumerate(members):
        if member["preference"] == 0:  # published by a previous run: never dropped
            if len(leaders) < limit:
                leaders.append(place)
            continue
        document = members["document"][place : place + 1]
        agreeing = (members["sketch"][leaders] == member["sketch"]).sum(axis=1)
        matching = np.flatnonzero(agreeing >= need)
        if len(matching):
            matched = members["document"][np.array(leaders)[matching]]
            found.append(make_links(np.repeat(document, len(matched)), matched, NEAR, agreeing[matching]))
            duplicates.append(place)
        elif ((members["sketch"][duplicates[:limit]] == member["sketch"]).sum(axis=1) >= need).any():
            found.append(make_links(document, NO_LEADER, NEAR))
            duplicates.append(place)
        elif len(leaders) < limit:
            leaders.append(place)
        else:
            found.append(make_links(document, NO_LEADER, FULL_BUCKET))
    return np.concatenate([np.empty(0, LINK), *found])


def deduplicate_sequentially(job: Job, parcels: Sequence[BucketParcel]) -> Iterator[Message]:
    """The sequential algorithm, for the documents that the rounds left undecided."""
    found = find_duplicates_greedily(job.settings, parcels)
    notes = found[found["reason"] == FULL_BUCKET]
    duplicates = found[found["reason"] == NEAR]
    yield from send_to_units("full_bucket", notes, notes["document"])
    yield from send_to_units("duplicates", duplicates, duplicates["document"])


def find_duplicates_greedily(settings: DeduplicateSettings, parcels: Sequence[BucketParcel]) -> Array:
    """Links from every dropped document to the kept ones that it matches, and the notes of full buckets."""
    documents, keys, rank = _sort_parcels(settings, parcels)
    need = agreement_for(settings.threshold, settings.signature_rows)
    by_rank = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[by_rank], np.arange(len(documents) + 1))
    kept: dict[int, list[int]] = defaultdict(list)  # band key -> kept documents, `bucket_limit` at most
    found = [np.empty(0, LINK)]
    for place in range(len(documents)):
        buckets = [kept[key] for key in set(keys[by_rank[starts[place] : starts[place + 1]]].tolist())]
        candidates = np.array(sorted({other for bucket in buckets for other in bucket}), np.int64)
        agreeing = (documents["sketch"][candidates] == documents["sketch"][place]).sum(axis=1)
        matching = agreeing >= need
        document = documents["document"][place : place + 1]
        if matching.any():
            matched = documents["document"][candidates[matching]]
            found.append(make_links(np.repeat(document, len(matched)), matched, NEAR, agreeing[matching]))
            continue
        for bucket in buckets:
            if len(bucket) < settings.bucket_limit:
                bucket.append(place)
            else:
                found.append(make_links(document, NO_LEADER, FULL_BUCKET))
    return np.concatenate(found)
