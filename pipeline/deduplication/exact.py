"""Exact duplicates: of all documents with one URL, or one text, the best stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, Parcel, send_to_units
from pipeline.deduplication.records import (
    KEYED,
    Array,
    best_first,
    group_starts,
    join_records,
    make_links,
    read_fixed_width,
    read_ranked,
)
from pipeline.deduplication.settings import DuplicateReason


def send_url_keys(job: Job, inbox: Inbox) -> Iterator[Parcel]:
    """Step at a unit: the URL keys of its documents."""
    if job.settings.exact_url and (job.settings.previous_urls or not inbox.unit.previous):
        yield from _send_keys(job, inbox, "url_key")


def send_text_keys(job: Job, inbox: Inbox) -> Iterator[Parcel]:
    """Step at a unit: the text keys of the documents not dropped for their URL."""
    if job.settings.exact_text:
        yield from _send_keys(job, inbox, "text_key")


def _send_keys(job: Job, inbox: Inbox, column: str) -> Iterator[Parcel]:
    records = read_ranked(inbox.unit, job.settings, KEYED)
    records["key"] = read_fixed_width(inbox.unit, column, "<u8", 2)
    records = records[inbox.mask_not_dropped(len(records))]
    yield from job.send_to_partitions(records, records["key"][:, 0])


def drop_same_url(job: Job, parcels: Sequence[bytes]) -> Iterator[Message]:
    """Step at a partition: all but the best document of each URL are duplicates."""
    duplicates = find_duplicates(parcels, DuplicateReason.SAME_URL)
    yield from send_to_units("duplicates", duplicates, duplicates["document"])


def drop_same_text(job: Job, parcels: Sequence[bytes]) -> Iterator[Message]:
    """Step at a partition: all but the best document of each text are duplicates."""
    duplicates = find_duplicates(parcels, DuplicateReason.SAME_TEXT)
    yield from send_to_units("duplicates", duplicates, duplicates["document"])


def find_duplicates(parcels: Sequence[bytes], reason: DuplicateReason) -> Array:
    """Links from every document to the best one with its key; `parcels` hold all records of each of their keys."""
    records = join_records(parcels, KEYED)
    key = records["key"]
    records = records[np.lexsort((*best_first(records), key[:, 1], key[:, 0]))]
    best = group_starts(records["key"][:, 0], records["key"][:, 1])
    # Documents of previous runs have preference 0 and are never dropped.
    dropped = np.flatnonzero((best != np.arange(len(records))) & (records["preference"] > 0))
    code = list(DuplicateReason).index(reason)
    return make_links(records["document"][dropped], records["document"][best[dropped]], code)
