"""Phase 2, deduplicate: keys and sketches of staged documents -> one verdict file a unit.

Text never travels. Units (staged files) and partitions (shares of the keys) exchange a few fat numpy messages, see
`deduplication/messages.py`; each line below is one such exchange. Exact URL first, then exact text among what is left,
then near duplicates (`deduplication/near.py`), then repeated lines (`deduplication/paragraphs.py`) among the documents
that survived, so that nothing is kept only in a document that is dropped.

Memory of a worker: one unit's columns (about 0.6 kB a document) or one partition. There are as many partitions as it
takes for `partition_bytes` each, at 1 kB a document; sorting takes a few times that. With the defaults, there cross:

    every document          66 bytes for its URL, 66 for its text, 192 for its bands, 8 a line            about 0.6 kB
    one with near copies    210 bytes for each partition that its shared bands fall into, 24 at most      0.2-5 kB

On Beam's local runner what crosses lies in files meanwhile, see `deduplication/scratch.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from pathlib import PurePosixPath
from typing import Any

import apache_beam as beam

from pipeline.deduplication import exact, near, repeated_lines, survivors
from pipeline.deduplication.messages import Inbox, Job, Message, count, partition_count
from pipeline.deduplication.previous_sketches import sketch_files
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.spill import beside, fetched, scratch_folder, stored
from pipeline.deduplication.write_verdicts import DuplicateCounts, judge
from pipeline.engines.spread import open_pipeline
from pipeline.ledger import LedgerError
from pipeline.storage import count_rows, exists, in_threads, join, read_bytes, write_atomically

log = logging.getLogger(__name__)

TALLY = "tally.json"


class TooMuchLostError(LedgerError):
    """Deduplication would drop more than `max_loss` allows."""


class Step(beam.DoFn):
    """(unit or partition, payloads) -> one call -> what it sends, by way of the `scratch` folder if there is one."""

    def __init__(self, function: Callable[[int, Iterator[Any]], Iterator[Any]], scratch: str | None) -> None:
        self.function, self.scratch = function, scratch

    def process(self, element: Any) -> Iterator[Any]:
        index, payloads = element
        sent = self.function(index, fetched(payloads))
        yield from stored(sent, self.scratch) if self.scratch else sent


class AtUnits(beam.PTransform):
    """Messages -> one call a unit -> messages."""

    def __init__(self, step: Callable[[Inbox], Iterator[Any]], scratch: str | None = None) -> None:
        super().__init__()
        self.step, self.scratch = step, scratch

    def expand(self, messages: Any) -> Any:
        step = self.step
        merged = messages if isinstance(messages, beam.PCollection) else messages | beam.Flatten()
        call = Step(lambda unit, inbox: step(Inbox.of(unit, inbox)), self.scratch)
        return merged | beam.GroupByKey() | beam.ParDo(call)


class Exchange(beam.PTransform):
    """Messages -> one call a unit -> blobs for partitions -> one call a partition -> messages."""

    def __init__(
        self,
        at_unit: Callable[[Inbox], Iterator[Any]],
        at_partition: Callable[[Any], Iterator[Message]],
        scratch: str | None = None,
    ) -> None:
        super().__init__()
        self.at_unit, self.at_partition, self.scratch = at_unit, at_partition, scratch

    def expand(self, messages: Any) -> Any:
        at_partition = self.at_partition
        return (
            messages
            | "Units" >> AtUnits(self.at_unit, self.scratch)
            | beam.GroupByKey()
            | "Partitions" >> beam.ParDo(Step(lambda _, blobs: at_partition(list(blobs)), self.scratch))
        )


class Deduplicate(beam.PTransform):
    """(unit number, ("unit", StagedUnit)) -> one tally a unit; the verdict files are written on the way."""

    def __init__(self, job: Job, scratch: str | None = None) -> None:
        super().__init__()
        self.job, self.scratch = job, scratch

    def expand(self, units: Any) -> Any:
        job, settings = self.job, self.job.settings
        exchange, at_units = partial(Exchange, scratch=self.scratch), partial(AtUnits, scratch=self.scratch)
        walk = partial(near.walk, settings)
        so_far: tuple[Any, ...] = (units, units | "Same URL" >> exchange(partial(exact.url_keys, job), exact.same_url))
        so_far += (so_far | "Same text" >> exchange(partial(exact.text_keys, job), exact.same_text),)
        crowded = so_far | "Count bands" >> exchange(partial(near.band_keys, job), count)
        for turn in range(settings.rounds):
            undecided = partial(near.sketches, job, turn=turn)
            found = (*so_far, crowded) | f"Compare {turn}" >> exchange(undecided, walk)
            so_far += (found | f"Settle {turn}" >> at_units(partial(near.settle, turn=turn)),)
        rest = partial(near.rest, job, turn=settings.rounds)
        so_far += (so_far | "Settle rest" >> exchange(rest, partial(near.settle_rest, settings)),)
        links = so_far | "Link" >> at_units(partial(survivors.own_links, job))
        links = links | "Follow" >> at_units(partial(survivors.follow, job))
        links = links | "Follow on" >> at_units(partial(survivors.follow, job))
        named = (units, links) | "Name" >> at_units(partial(survivors.name, job))
        lines = (units, named) | "Count lines" >> exchange(partial(repeated_lines.line_keys, job), count)
        shared_lines = partial(repeated_lines.shared_lines, job)
        best = (units, named, lines) | "Best page" >> exchange(
            shared_lines, partial(repeated_lines.best_page, settings)
        )
        return (*so_far, named, lines, best) | "Judge" >> AtUnits(partial(judge, job))


def run_deduplicate(
    staged_files: Sequence[str],
    verdict_folder: str,
    settings: DeduplicateSettings,
    pipeline_options: Sequence[str],
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Writes `verdict_folder/<name of the staged file>` for each staged file; returns the summary of all of them.

    With `resume` verdicts that are complete there, of the same files and settings, are only summed up.

    Raises `TooMuchLostError` when more documents would go than `max_loss` allows.
    """
    staged = sorted(staged_files, key=lambda path: (PurePosixPath(path).name, path))
    previous = [path for folder in settings.previous_sketches for path in sketch_files(folder, settings)]
    units = [StagedUnit(i, path, previous=i >= len(staged)) for i, path in enumerate([*staged, *previous])]
    documents = sum(in_threads(count_rows, [unit.path for unit in units]))
    job = Job(settings, partition_count(documents, settings), verdict_folder)
    tally = DuplicateCounts()
    if staged:
        if not (resume and exists(join(verdict_folder, TALLY))):  # written last
            run(job, units, pipeline_options)
        tally = DuplicateCounts(**json.loads(read_bytes(join(verdict_folder, TALLY))))
    return summary(tally, settings)


def run(job: Job, units: Sequence[StagedUnit], pipeline_options: Sequence[str]) -> None:
    """The pipeline: units in, verdict files and their tally out."""
    with scratch_folder(job.folder, pipeline_options) as scratch, open_pipeline(pipeline_options) as pipeline:
        units = in_threads(partial(beside, scratch), units) if scratch else units
        (
            pipeline
            | "Units" >> beam.Create([(unit.index, ("unit", unit)) for unit in units])
            | "Deduplicate" >> Deduplicate(job, scratch)
            | "To one place" >> beam.GroupBy(lambda _: 0)
            | "Add up" >> beam.MapTuple(lambda _, tallies: write_tally(job, tallies))
        )


def write_tally(job: Job, tallies: Sequence[DuplicateCounts]) -> None:
    """The tallies of all units as one JSON file."""
    total = reduce(DuplicateCounts.plus, tallies, DuplicateCounts())
    with write_atomically(join(job.folder, TALLY)) as file:
        file.write(json.dumps(total.to_json(), indent=1).encode())


def summary(tally: DuplicateCounts, settings: DeduplicateSettings) -> dict[str, Any]:
    """The tally with what a person should know of it."""
    share = tally.lost / tally.documents if tally.documents else 0.0
    if share > settings.max_loss:
        raise TooMuchLostError(
            f"deduplicate would drop {tally.lost:,} of {tally.documents:,} documents ({share:.1%}; "
            f"{tally.dropped}). Look at the largest groups {tally.groups[:3]}; "
            f"if that is right, raise deduplicate.max_loss (now {settings.max_loss})"
        )
    warnings = []
    if share > settings.warn_loss:
        warnings.append(f"{share:.1%} of all documents are copies of others (deduplicate.warn_loss)")
    if tally.groups and tally.groups[0][0] >= settings.warn_group:
        size, survivor = tally.groups[0]
        warnings.append(f"document {survivor} stands for {size:,} others (deduplicate.warn_group)")
    if tally.full_buckets:
        warnings.append(
            f"{tally.full_buckets:,} documents were not compared with all of their bucket (deduplicate.bucket_limit)"
        )
    for warning in warnings:
        log.warning("deduplicate: %s", warning)
    return {**tally.to_json(), "share_lost": round(share, 6), "warnings": warnings}
