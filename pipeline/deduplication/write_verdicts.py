"""The last step at a unit: one verdict a document, written to the unit's file, and the tally of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipeline.deduplication.messages import Inbox, Job
from pipeline.deduplication.minhash import similarity
from pipeline.deduplication.records import Array, row_of
from pipeline.deduplication.repeated_lines import Lines, removals
from pipeline.deduplication.settings import DuplicateReason
from pipeline.deduplication.survivors import dropped, stands_for, survives
from pipeline.deduplication.verdicts import write_verdicts
from pipeline.storage import join

_REASONS = list(DuplicateReason)
LARGEST_GROUPS = 10


@dataclass(frozen=True, slots=True)
class DuplicateCounts:
    """Counts that add up over units."""

    documents: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # by reason
    lines_removed: int = 0
    words_removed: int = 0
    full_buckets: int = 0  # documents that met a bucket at its limit
    groups: list[tuple[int, str]] = field(default_factory=list)  # the largest: dropped pages, id of the survivor

    @property
    def lost(self) -> int:
        """Documents dropped for being copies of others of this run."""
        return self.documents - self.kept - self.dropped.get(DuplicateReason.ALREADY_PUBLISHED, 0)

    def plus(self, other: DuplicateCounts) -> DuplicateCounts:
        reasons = Counter(self.dropped) + Counter(other.dropped)
        return DuplicateCounts(
            self.documents + other.documents,
            self.kept + other.kept,
            {reason: reasons[reason] for reason in _REASONS if reason in reasons},
            self.lines_removed + other.lines_removed,
            self.words_removed + other.words_removed,
            self.full_buckets + other.full_buckets,
            largest([*self.groups, *other.groups]),
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "dropped": {str(reason): n for reason, n in self.dropped.items()}}


def largest(groups: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return sorted(groups, key=lambda group: (-group[0], group[1]))[:LARGEST_GROUPS]


def judge(job: Job, inbox: Inbox) -> Iterator[DuplicateCounts]:
    """Writes the unit's verdicts under the name of its staged file."""
    unit = inbox.unit
    if unit.previous:
        return
    ids = unit.columns(["id"])["id"].to_pylist()
    surviving = survives(job, inbox, len(ids))
    verdicts = _copies(job, inbox, len(ids))
    found, removed = removals(job, inbox, surviving)
    lines, words = _take_out(job, verdicts, found, removed)
    write_verdicts(join(job.folder, PurePosixPath(unit.path).name), verdicts)
    yield DuplicateCounts(
        documents=len(ids),
        kept=sum(reason is None for reason in verdicts["reason"]),
        dropped=dict(Counter(reason for reason in verdicts["reason"] if reason)),
        lines_removed=lines,
        words_removed=words,
        full_buckets=len(np.unique(inbox.links("full")["document"])),
        groups=largest([(n, i) for n, i in zip(verdicts["duplicates"], ids, strict=True) if n]),
    )


def _copies(job: Job, inbox: Inbox, rows: int) -> dict[str, list[Any]]:
    """Verdict columns as far as whole documents go."""
    stands = stands_for(inbox, rows)
    verdicts: dict[str, list[Any]] = {
        "reason": [None] * rows,
        "survivor": [None] * rows,
        "value": [None] * rows,
        "threshold": [None] * rows,
        "duplicates": stands.tolist(),
        "remove": [[] for _ in range(rows)],
    }
    copies = dropped(inbox)
    similar = similarity(copies["agreeing"], job.settings.signature_rows)
    for row, copy, value in zip(row_of(copies["document"]).tolist(), copies, similar.tolist(), strict=True):
        verdicts["reason"][row] = str(_REASONS[copy["reason"]])
        verdicts["survivor"][row] = copy["survivor"].decode() or None
        if copy["agreeing"]:
            verdicts["value"][row], verdicts["threshold"][row] = round(value, 4), job.settings.threshold
    for row in np.flatnonzero(~survives(job, inbox, rows) & (stands > 0)).tolist():
        verdicts["reason"][row] = str(DuplicateReason.HAS_DUPLICATES)
        verdicts["value"][row], verdicts["threshold"][row] = float(stands[row]), 0.0
        verdicts["duplicates"][row] = 0
    return verdicts


def _take_out(job: Job, verdicts: dict[str, list[Any]], found: Lines, removed: Array) -> tuple[int, int]:
    """Fills in `remove`, drops documents with too little left; returns the lines and words taken out."""
    rows = len(verdicts["remove"])
    words = np.bincount(found.row, found.words, rows)
    lost = np.bincount(found.row[removed], found.words[removed], rows)
    # A document that stands for others keeps its lines rather than go: theirs must not be lost with it.
    too_little = (lost > 0) & (words - lost < job.settings.min_words_left)
    spared = too_little & (np.array(verdicts["duplicates"], np.int64) > 0)
    removed = removed & ~too_little[found.row]
    for row, number in zip(found.row[removed].tolist(), found.number[removed].tolist(), strict=True):
        verdicts["remove"][row].append(number)
    for row in np.flatnonzero(too_little & ~spared).tolist():
        verdicts["reason"][row] = str(DuplicateReason.TOO_LITTLE_LEFT)
        verdicts["value"][row], verdicts["threshold"][row] = (
            float(words[row] - lost[row]),
            float(job.settings.min_words_left),
        )
    return int(removed.sum()), int(found.words[removed].sum())
