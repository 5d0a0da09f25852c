"""Exact copies: the best document of every key stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, to_units
from pipeline.deduplication.records import KEYED, LINK, Array, best_first, fixed_width, joined, ranked
from pipeline.deduplication.settings import Reason


def url_keys(job: Job, inbox: Inbox) -> Iterator[tuple[int, Array]]:
    """At a unit: every document's URL key."""
    if job.settings.exact_url and (job.settings.former_urls or not inbox.unit.former):
        yield from _keys(job, inbox, "url_key")


def text_keys(job: Job, inbox: Inbox) -> Iterator[tuple[int, Array]]:
    """At a unit: the text keys of the documents that still stand."""
    if job.settings.exact_text:
        yield from _keys(job, inbox, "text_key")


def _keys(job: Job, inbox: Inbox, column: str) -> Iterator[tuple[int, Array]]:
    records = ranked(inbox.unit, job.settings, KEYED)
    records["key"] = fixed_width(inbox.unit.columns([column])[column], "<u8", 2)
    records = records[inbox.standing(len(records))]
    yield from job.partitioned(records, records["key"][:, 0])


def same_url(blobs: Sequence[Array]) -> Iterator[Message]:
    """At a partition: all but the best document of each URL are lost."""
    lost = same_key(blobs, list(Reason).index(Reason.SAME_URL))
    yield from to_units("lost", lost, lost["document"])


def same_text(blobs: Sequence[Array]) -> Iterator[Message]:
    """At a partition: all but the best document of each text are lost."""
    lost = same_key(blobs, list(Reason).index(Reason.SAME_TEXT))
    yield from to_units("lost", lost, lost["document"])


def same_key(blobs: Sequence[Array], reason: int) -> Array:
    """Links from every document to the best one with its key. All records of a key must be among the blobs."""
    records = joined(blobs, KEYED)
    key = records["key"]
    records = records[np.lexsort((*best_first(records), key[:, 1], key[:, 0]))]
    leaders = first_of_group(records["key"][:, 0], records["key"][:, 1])
    # Documents of earlier runs are not judged.
    losers = np.flatnonzero((leaders != np.arange(len(records))) & (records["preference"] > 0))
    return links(records["document"][losers], records["document"][leaders[losers]], reason)


def first_of_group(*keys: Array) -> Array:
    """For sorted keys: the position at which each one's group begins."""
    if not len(keys[0]):
        return np.empty(0, np.int64)
    new = np.concatenate([[True], np.any([key[1:] != key[:-1] for key in keys], axis=0)])
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def links(documents: Array, leaders: Array | np.uint64, reason: int, agreeing: Any = 0) -> Array:
    """`LINK` records."""
    found = np.empty(len(documents), LINK)
    found["document"], found["leader"], found["reason"], found["agreeing"] = documents, leaders, reason, agreeing
    return found
