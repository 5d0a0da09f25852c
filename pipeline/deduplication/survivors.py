"""Survivors: the kept document at the end of each chain of links, and the number of duplicates it represents.

A page dropped for its URL may duplicate one dropped for its text, which duplicates one dropped as a near duplicate: at
most three links, which two steps of doubling resolve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, send_to_units
from pipeline.deduplication.records import Array, rows_of
from pipeline.deduplication.settings import DuplicateReason, Keep

DROPPED = np.dtype(
    [("document", "<u8"), ("reason", "u1"), ("agreeing", "<u2"), ("survivor", "S64"), ("snapshot", "S64")]
)
REPRESENTS = np.dtype([("row", "<i8"), ("duplicates", "<i8")])
_PUBLISHED = list(DuplicateReason).index(DuplicateReason.ALREADY_PUBLISHED)


# --- steps at units ---


def choose_links(job: Job, inbox: Inbox) -> Iterator[Message]:
    """One link per dropped document: to the most similar leader, of equals to the one with the smallest number."""
    found = inbox.links("duplicates")
    found = found[np.lexsort((found["leader"], -found["agreeing"].astype(np.int64), found["document"]))]
    _, first = np.unique(found["document"], return_index=True)
    yield from _send_links(found[first])


def follow_links(job: Job, inbox: Inbox) -> Iterator[Message]:
    """Replace a leader in this unit that is dropped itself by its own leader, in every link to it."""
    own, here = inbox.links("own_links"), inbox.links("links_here").copy()
    own = own[np.argsort(own["document"])]
    if len(own):
        places = np.minimum(np.searchsorted(own["document"], here["leader"]), len(own) - 1)
        dropped = own["document"][places] == here["leader"]
        here["leader"][dropped] = own["leader"][places][dropped]
    yield from _send_links(here)


def _send_links(found: Array) -> Iterator[Message]:
    yield from send_to_units("own_links", found, found["document"])
    yield from send_to_units("links_here", found, found["leader"])


def name_survivors(job: Job, inbox: Inbox) -> Iterator[Message]:
    """At the survivors' unit: send each survivor's id to its duplicates, and count them.

    Also passes on what the later steps need of the earlier messages: the unit and `full_bucket`.
    """
    yield inbox.index, ("unit", inbox.unit)
    yield inbox.index, ("full_bucket", inbox.links("full_bucket").tobytes())
    links = inbox.links("links_here")
    if not len(links):
        return
    rows = rows_of(links["leader"])
    dropped = np.empty(len(links), DROPPED)
    for field in ("document", "reason", "agreeing"):
        dropped[field] = links[field]
    dropped["snapshot"] = b""
    if inbox.unit.previous:
        dropped["reason"] = _PUBLISHED
        dropped["snapshot"] = name_of_output(inbox.unit.path).encode("ascii", "replace")[:64]
    dropped["survivor"] = _survivor_ids(job, inbox, rows)
    yield from send_to_units("dropped", dropped, dropped["document"])
    survivors, counts = np.unique(rows, return_counts=True)
    represents = np.empty(len(survivors), REPRESENTS)
    represents["row"], represents["duplicates"] = survivors, counts
    yield inbox.index, ("represents", represents.tobytes())


def name_of_output(path: str) -> str:
    """The output folder that a file of stored sketches belongs to.

    >>> name_of_output("s3://crawls/CC-MAIN-2026-43/sketches/part-00000.parquet")
    'CC-MAIN-2026-43'
    """
    return path.rsplit("/", 3)[-3] if path.count("/") >= 2 else ""


def _survivor_ids(job: Job, inbox: Inbox, rows: Array) -> Array | bytes:
    # With `keep = "none"` no document survives, except those that a previous run has published.
    if job.settings.keep is Keep.NONE and not inbox.unit.previous:
        return b""
    ids = np.array([text.encode() for text in inbox.unit.columns(["id"])["id"].to_pylist()], "S64")
    return ids[rows]


# --- the result, at the unit of each document ---


@dataclass(frozen=True, slots=True)
class UnitSurvivors:
    """Which documents of one unit survive exact and near deduplication."""

    dropped: Array  # DROPPED, in the order of the rows
    represents: Array  # per row: the number of duplicates that the document represents
    surviving: Array  # per row: whether it is kept

    @classmethod
    def from_inbox(cls, job: Job, inbox: Inbox, rows: int) -> UnitSurvivors:
        dropped = inbox.records("dropped", DROPPED)
        dropped = dropped[np.argsort(dropped["document"])]
        counted = inbox.records("represents", REPRESENTS)
        represents = np.zeros(rows, np.int64)
        represents[counted["row"]] = counted["duplicates"]
        surviving = np.ones(rows, bool)
        surviving[rows_of(dropped["document"])] = False
        if job.settings.keep is Keep.NONE:
            surviving &= represents == 0
        return cls(dropped, represents, surviving)
