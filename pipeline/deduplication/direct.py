"""Deduplication in this process, with messages in lists: for so few documents that they fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.deduplication.duplicate_counts import write_counts
from pipeline.deduplication.graph import PartitionStep, UnitStep, deduplicate
from pipeline.deduplication.messages import Inbox, Job
from pipeline.deduplication.records import StagedUnit

MOST_DOCUMENTS = 50_000  # their messages take 30 MB, and 250 MB if all of them have near duplicates


@dataclass(frozen=True, slots=True)
class DirectSteps:
    """The operations of graph.py on lists."""

    job: Job

    def at_units(self, label: str, step: UnitStep, *messages: list[Any]) -> list[Any]:
        inboxes = _group(each for part in messages for each in part)
        return [result for unit, inbox in inboxes for result in step(self.job, Inbox.from_messages(unit, inbox))]

    def exchange(self, label: str, at_unit: UnitStep, at_partition: PartitionStep, *messages: list[Any]) -> list[Any]:
        partitions = _group(self.at_units(label, at_unit, *messages))
        return [message for _, parcels in partitions for message in at_partition(self.job, parcels)]

    def merge(self, label: str, *messages: list[Any]) -> list[Any]:
        return [each for part in messages for each in part]

    def finish(self, label: str, step: UnitStep, messages: list[Any]) -> list[Any]:
        return self.at_units(label, step, messages)


def _group(pairs: Iterable[tuple[int, Any]]) -> list[tuple[int, list[Any]]]:
    groups: dict[int, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return sorted(groups.items())


def run_here(job: Job, units: Sequence[StagedUnit]) -> None:
    """Writes the verdict files of the units, and the file of their counts."""
    messages: list[Any] = [(unit.index, ("unit", unit)) for unit in units]
    counts = deduplicate(DirectSteps(job), messages)
    write_counts(job.folder, counts)
