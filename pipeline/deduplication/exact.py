"""Exact copies: the best document of every key stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, to_units
from pipeline.deduplication.records import (
    KEYED,
    Array,
    best_first,
    first_of_group,
    fixed_width,
    joined,
    links,
    ranked,
)
from pipeline.deduplication.settings import DuplicateReason


def url_keys(job: Job, inbox: Inbox) -> Iterator[tuple[int, bytes]]:
    """At a unit: every document's URL key."""
    if job.settings.exact_url and (job.settings.previous_urls or not inbox.unit.previous):
        yield from _keys(job, inbox, "url_key")


def text_keys(job: Job, inbox: Inbox) -> Iterator[tuple[int, bytes]]:
    """At a unit: the text keys of the documents that still stand."""
    if job.settings.exact_text:
        yield from _keys(job, inbox, "text_key")


def _keys(job: Job, inbox: Inbox, column: str) -> Iterator[tuple[int, bytes]]:
    records = ranked(inbox.unit, job.settings, KEYED)
    records["key"] = fixed_width(inbox.unit.columns([column])[column], "<u8", 2)
    records = records[inbox.standing(len(records))]
    yield from job.to_partitions(records, records["key"][:, 0])


def same_url(blobs: Sequence[bytes]) -> Iterator[Message]:
    """At a partition: all but the best document of each URL are lost."""
    lost = same_key(blobs, list(DuplicateReason).index(DuplicateReason.SAME_URL))
    yield from to_units("lost", lost, lost["document"])


def same_text(blobs: Sequence[bytes]) -> Iterator[Message]:
    """At a partition: all but the best document of each text are lost."""
    lost = same_key(blobs, list(DuplicateReason).index(DuplicateReason.SAME_TEXT))
    yield from to_units("lost", lost, lost["document"])


def same_key(blobs: Sequence[bytes], reason: int) -> Array:
    """Links from every document to the best one with its key. All records of a key must be among the blobs."""
    records = joined(blobs, KEYED)
    key = records["key"]
    records = records[np.lexsort((*best_first(records), key[:, 1], key[:, 0]))]
    leaders = first_of_group(records["key"][:, 0], records["key"][:, 1])
    # Documents of earlier runs are not judged.
    losers = np.flatnonzero((leaders != np.arange(len(records))) & (records["preference"] > 0))
    return links(records["document"][losers], records["document"][leaders[losers]], reason)
