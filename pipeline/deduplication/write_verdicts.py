"""The last step at a unit: one verdict per document, written to the unit's file, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipeline.deduplication.duplicate_counts import DuplicateCounts, largest_groups
from pipeline.deduplication.messages import Inbox, Job
from pipeline.deduplication.minhash import similarity
from pipeline.deduplication.records import Array, rows_of
from pipeline.deduplication.repeated_lines import Lines, find_removals
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.deduplication.survivors import UnitSurvivors
from pipeline.deduplication.verdicts import write_verdicts
from pipeline.storage import join

_REASONS = list(DuplicateReason)
Columns = dict[str, list[Any]]  # of VERDICT_SCHEMA


def write_unit_verdicts(job: Job, inbox: Inbox) -> Iterator[DuplicateCounts]:
    """Writes the verdicts under the name of the staged file; returns their counts."""
    if inbox.unit.previous:
        return
    verdicts, counts = decide_unit(job, inbox)
    write_verdicts(join(job.folder, PurePosixPath(inbox.unit.path).name), verdicts)
    yield counts


def decide_unit(job: Job, inbox: Inbox) -> tuple[Columns, DuplicateCounts]:
    """The verdicts of a unit, and their counts."""
    ids = inbox.unit.columns(["id"])["id"].to_pylist()
    verdicts = _decide_documents(job.settings, UnitSurvivors.from_inbox(job, inbox, len(ids)))
    lines, removed = find_removals(job, inbox)
    removed = _remove_lines(job.settings, verdicts, lines, removed)
    counts = DuplicateCounts(
        documents=len(ids),
        kept=sum(reason is None for reason in verdicts["reason"]),
        dropped=dict(Counter(reason for reason in verdicts["reason"] if reason)),
        lines_removed=int(removed.sum()),
        words_removed=int(lines.words[removed].sum()),
        full_buckets=len(np.unique(inbox.links("full_bucket")["document"])),
        groups=largest_groups([(n, i) for n, i in zip(verdicts["duplicates"], ids, strict=True) if n]),
    )
    return verdicts, counts


def _decide_documents(settings: DeduplicateSettings, documents: UnitSurvivors) -> Columns:
    """The verdicts before any lines are removed."""
    rows = len(documents.surviving)
    verdicts: Columns = {
        "reason": [None] * rows,
        "survivor": [None] * rows,
        "snapshot": [None] * rows,
        "value": [None] * rows,
        "threshold": [None] * rows,
        "duplicates": documents.represents.tolist(),
        "remove": [[] for _ in range(rows)],
    }
    dropped = documents.dropped
    similar = similarity(dropped["agreeing"], settings.signature_rows)
    for row, duplicate, value in zip(rows_of(dropped["document"]).tolist(), dropped, similar.tolist(), strict=True):
        verdicts["reason"][row] = str(_REASONS[duplicate["reason"]])
        verdicts["survivor"][row] = duplicate["survivor"].decode() or None
        verdicts["snapshot"][row] = duplicate["snapshot"].decode() or None
        if duplicate["agreeing"]:
            verdicts["value"][row], verdicts["threshold"][row] = round(value, 4), settings.threshold
    for row in np.flatnonzero(~documents.surviving & (documents.represents > 0)).tolist():  # with `keep = "none"`
        verdicts["reason"][row] = str(DuplicateReason.HAS_DUPLICATES)
        verdicts["value"][row], verdicts["threshold"][row] = float(documents.represents[row]), 0.0
        verdicts["duplicates"][row] = 0
    return verdicts


def _remove_lines(settings: DeduplicateSettings, verdicts: Columns, lines: Lines, removed: Array) -> Array:
    """Fills in `remove` and drops the documents with too few words left; returns the mask of the lines removed."""
    rows = len(verdicts["remove"])
    words = np.bincount(lines.row, lines.words, rows)
    lost = np.bincount(lines.row[removed], lines.words[removed], rows)
    # A document that represents duplicates keeps all its lines instead: without it their text would be lost, too.
    too_little = (lost > 0) & (words - lost < settings.min_words_left)
    kept_whole = too_little & (np.array(verdicts["duplicates"], np.int64) > 0)
    removed = removed & ~too_little[lines.row]
    for row, number in zip(lines.row[removed].tolist(), lines.number[removed].tolist(), strict=True):
        verdicts["remove"][row].append(number)
    for row in np.flatnonzero(too_little & ~kept_whole).tolist():
        verdicts["reason"][row] = str(DuplicateReason.TOO_LITTLE_LEFT)
        verdicts["value"][row] = float(words[row] - lost[row])
        verdicts["threshold"][row] = float(settings.min_words_left)
    return removed
