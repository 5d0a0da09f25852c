"""The two Beam transforms that every step of deduplication is made of: AtUnits and Exchange.

A step at a unit is a function `(job, inbox) -> messages or parcels`, a step at a partition `(job, parcels) -> messages`
(types in messages.py). Both are plain generators; nothing else in this folder imports Beam's transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from pipeline.deduplication.messages import Inbox, Job, Message
from pipeline.deduplication.spill import read_spilled, spill_messages

UnitStep = Callable[[Job, Inbox], Iterator[Any]]
PartitionStep = Callable[[Job, Sequence[Any]], Iterator[Message]]


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
