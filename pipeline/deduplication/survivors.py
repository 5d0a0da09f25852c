"""From links (this is a copy of that) to survivors: the kept document at the end of each chain, and whom it stands for.

A page dropped for its URL may be a copy of one dropped for its text, which is a copy of one dropped as a near
duplicate: at most three links, followed by doubling in two steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.deduplication.messages import Inbox, Job, Message, to_units
from pipeline.deduplication.records import Array, row_of
from pipeline.deduplication.settings import DuplicateReason, Keep

NAMED = np.dtype([("document", "<u8"), ("reason", "u1"), ("agreeing", "<u2"), ("survivor", "S64")])
STANDS = np.dtype([("row", "<i8"), ("pages", "<i8")])
_PUBLISHED = list(DuplicateReason).index(DuplicateReason.ALREADY_PUBLISHED)


def own_links(job: Job, inbox: Inbox) -> Iterator[Message]:
    """One link a dropped document: to the most similar survivor, the smallest number among equals."""
    found = inbox.links("lost")
    found = found[np.lexsort((found["leader"], -found["agreeing"].astype(np.int64), found["document"]))]
    _, first = np.unique(found["document"], return_index=True)
    yield from _pointing(found[first])


def follow(job: Job, inbox: Inbox) -> Iterator[Message]:
    """Links that point here at a document which is itself dropped are led on to what that one points to."""
    mine, pointing = inbox.links("mine"), inbox.links("pointing").copy()
    mine = mine[np.argsort(mine["document"])]
    if len(mine):
        places = np.minimum(np.searchsorted(mine["document"], pointing["leader"]), len(mine) - 1)
        dropped = mine["document"][places] == pointing["leader"]
        pointing["leader"][dropped] = mine["leader"][places][dropped]
    yield from _pointing(pointing)


def _pointing(found: Array) -> Iterator[Message]:
    yield from to_units("mine", found, found["document"])
    yield from to_units("pointing", found, found["leader"])


def name(job: Job, inbox: Inbox) -> Iterator[Message]:
    """At the survivor's unit: its id for those it stands for, and how many they are."""
    pointing = inbox.links("pointing")
    if not len(pointing):
        return
    rows = row_of(pointing["leader"])
    named = np.empty(len(pointing), NAMED)
    for field in ("document", "reason", "agreeing"):
        named[field] = pointing[field]
    if inbox.unit.previous:
        named["reason"] = _PUBLISHED
    ids = np.array([text.encode() for text in inbox.unit.columns(["id"])["id"].to_pylist()], "S64")
    # With `keep = "none"` nobody survives, except what an earlier run has published.
    nobody = job.settings.keep is Keep.NONE and not inbox.unit.previous
    named["survivor"] = b"" if nobody else ids[rows]
    yield from to_units("dropped", named, named["document"])
    survivors, pages = np.unique(rows, return_counts=True)
    stands = np.empty(len(survivors), STANDS)
    stands["row"], stands["pages"] = survivors, pages
    yield inbox.index, ("stands", stands.tobytes())


def dropped(inbox: Inbox) -> Array:
    """The unit's dropped documents, in the order of their rows."""
    found = inbox.records("dropped", NAMED)
    return found[np.argsort(found["document"])]


def stands_for(inbox: Inbox, rows: int) -> Array:
    """How many dropped documents each row stands for."""
    counts = np.zeros(rows, np.int64)
    stands = inbox.records("stands", STANDS)
    counts[stands["row"]] = stands["pages"]
    return counts


def survives(job: Job, inbox: Inbox, rows: int) -> Array:
    """Mask of the rows that exact and near deduplication leave."""
    mask = np.ones(rows, bool)
    mask[row_of(dropped(inbox)["document"])] = False
    if job.settings.keep is Keep.NONE:
        mask &= stands_for(inbox, rows) == 0
    return mask
