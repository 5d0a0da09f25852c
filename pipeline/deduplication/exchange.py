"""Deduplication as a Beam pipeline: the two transforms that every step is made of, AtUnits and Exchange.

A step at a unit is a function `(job, inbox) -> messages or parcels`, a step at a partition `(job, parcels) -> messages`
(types in messages.py). Both are plain generators; nothing else in this folder imports Beam's transforms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam

from pipeline.deduplication.duplicate_counts import write_counts
from pipeline.deduplication.graph import PartitionStep, UnitStep, deduplicate
from pipeline.deduplication.messages import Inbox, Job, Message
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.spill import read_spilled, spill_messages
from pipeline.engines.beam_pipeline import open_pipeline


class CallUnitStep(beam.DoFn):
    """(unit, its messages) -> what the step returns for its inbox."""

    def __init__(self, job: Job, step: UnitStep) -> None:
        self.job, self.step = job, step

    def process(self, element: Any) -> Iterator[Any]:
        unit, messages = element
        inbox = Inbox.from_messages(unit, read_spilled(messages))
        yield from spill_messages(self.step(self.job, inbox), self.job.spill)


class CallPartitionStep(beam.DoFn):
    """(partition, its parcels) -> the messages that the step returns for them."""

    def __init__(self, job: Job, step: PartitionStep) -> None:
        self.job, self.step = job, step

    def process(self, element: Any) -> Iterator[Any]:
        _, parcels = element
        yield from spill_messages(self.step(self.job, list(read_spilled(parcels))), self.job.spill)


class AtUnits(beam.PTransform):
    """Messages, in one PCollection or a tuple of them -> grouped by unit -> one call per unit -> its results."""

    def __init__(self, job: Job, step: UnitStep) -> None:
        super().__init__()
        self.job, self.step = job, step

    def expand(self, messages: Any) -> beam.PCollection[Any]:
        merged = messages if isinstance(messages, beam.PCollection) else messages | beam.Flatten()
        return merged | beam.GroupByKey() | beam.ParDo(CallUnitStep(self.job, self.step))


class Exchange(beam.PTransform):
    """Messages -> one call per unit -> parcels, grouped by partition -> one call per partition -> messages."""

    def __init__(self, job: Job, at_unit: UnitStep, at_partition: PartitionStep) -> None:
        super().__init__()
        self.job, self.at_unit, self.at_partition = job, at_unit, at_partition

    def expand(self, messages: Any) -> beam.PCollection[Message]:
        return (
            messages
            | "Units" >> AtUnits(self.job, self.at_unit)
            | beam.GroupByKey()
            | "Partitions" >> beam.ParDo(CallPartitionStep(self.job, self.at_partition))
        )


@dataclass(frozen=True, slots=True)
class BeamSteps:
    """The operations of graph.py on PCollections."""

    job: Job

    def at_units(self, label: str, step: UnitStep, *messages: Any) -> Any:
        return _one_or_all(messages) | label >> AtUnits(self.job, step)

    def exchange(self, label: str, at_unit: UnitStep, at_partition: PartitionStep, *messages: Any) -> Any:
        return _one_or_all(messages) | label >> Exchange(self.job, at_unit, at_partition)

    def merge(self, label: str, *messages: Any) -> Any:
        return messages | label >> beam.Flatten()

    def finish(self, label: str, step: UnitStep, messages: Any) -> Any:
        # Without a spill folder: the results are small, and they are not messages to a unit.
        return messages | label >> AtUnits(replace(self.job, spill=None), step)


def _one_or_all(messages: tuple[Any, ...]) -> Any:
    return messages[0] if len(messages) == 1 else messages


@dataclass(eq=False)
class Deduplicate(beam.PTransform):
    """Messages (unit number, ("unit", StagedUnit)) -> counts of each unit; the verdict files are written on the way."""

    job: Job

    def expand(self, units: beam.PCollection[Message]) -> beam.PCollection[Any]:
        return deduplicate(BeamSteps(self.job), units)


def run_on_beam(job: Job, units: Sequence[StagedUnit], pipeline_options: Sequence[str]) -> None:
    """The pipeline: units in, verdict files and the file of their counts out."""
    with open_pipeline(pipeline_options) as pipeline:
        (
            pipeline
            | "Units" >> beam.Create([(unit.index, ("unit", unit)) for unit in units])
            | "Deduplicate" >> Deduplicate(job)
            | "To one place" >> beam.GroupBy(lambda _: 0)
            | "Write counts" >> beam.MapTuple(lambda _, counts: write_counts(job.folder, counts))
        )
