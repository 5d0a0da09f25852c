"""Deduplication of one table whose verdicts stay in memory: for `gristmill whatif`, about changed documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.deduplication.direct import DirectSteps
from pipeline.deduplication.duplicate_counts import DuplicateCounts
from pipeline.deduplication.graph import deduplicate
from pipeline.deduplication.messages import Inbox, Job
from pipeline.deduplication.previous_sketches import find_sketch_files
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.write_verdicts import Columns, decide_unit


@dataclass(frozen=True, slots=True)
class TableUnit(StagedUnit):
    """A unit whose columns are in memory."""

    table: pa.Table | None = None

    def columns(self, names: Sequence[str]) -> pa.Table:
        if self.table is None:
            raise ValueError("a unit without its table")
        return self.table.select(list(names))


def deduplicate_table(documents: pa.Table, settings: DeduplicateSettings) -> tuple[Columns, DuplicateCounts]:
    """The verdict on every row, as columns of `VERDICT_SCHEMA`, and their counts.

    `documents` has the columns of a staged file that deduplication reads, in the order of the staged files. Documents
    of `settings.previous_sketches` are read from their files.
    """
    files = [path for folder in settings.previous_sketches for path in find_sketch_files(folder, settings)]
    unit = TableUnit(0, "documents", table=documents)
    units = [unit, *(StagedUnit(number, path, previous=True) for number, path in enumerate(files, 1))]
    steps = DirectSteps(Job(settings, partitions=1, folder=""))
    messages: list[Any] = [(each.index, ("unit", each)) for each in units]
    found: tuple[Columns, DuplicateCounts] = deduplicate(steps, messages, _decide)[0]
    return found


def _decide(job: Job, inbox: Inbox) -> Iterator[tuple[Columns, DuplicateCounts]]:
    if not inbox.unit.previous:
        yield decide_unit(job, inbox)
