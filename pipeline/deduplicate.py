"""Phase 2, deduplicate: keys and sketches of staged documents -> one verdict file per unit.

    messages ─► ExactDuplicates ─► NearDuplicates ─► Survivors ─► RepeatedLines ─► WriteVerdicts ─► counts
                URL, then text     rounds, then      follow        long paragraphs,  one file
                                   the rest          the links     boilerplate       per unit

Each transform takes and returns one PCollection of messages: all results so far about the documents of each unit
(`deduplication/messages.py` lists them). Texts are not shuffled. Units (staged files) and partitions (shares of the
keys) exchange large numpy messages in `Exchange` steps (`deduplication/exchange.py`):

      unit: keys  ──►  partition: compare documents with one key  ──►  unit: which of its documents are duplicates

Repeated lines come last, among the surviving documents: no line is kept only in a document that is dropped.

Memory of a worker: the columns of one unit (about 0.6 kB per document) or one partition. A partition gets about
`partition_bytes`, at 1 kB per document, and sorting it needs six times that. Bytes shuffled with the default settings:

    per document                         66 for its URL, 66 for its text, 192 for its bands, 8 per line     about 600
    per document with near duplicates    210 for each partition with a band that it shares, 24 at most      200-5,000

On Beam's local runner shuffled messages are stored in files, see `deduplication/spill.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam import PCollection

from pipeline.deduplication import exact, near, repeated_lines, survivors
from pipeline.deduplication.duplicate_counts import COUNTS_FILE, DuplicateCounts, read_counts, summarize, write_counts
from pipeline.deduplication.exchange import AtUnits, Exchange
from pipeline.deduplication.messages import Job, Message, count_keys, partition_count
from pipeline.deduplication.previous_sketches import find_sketch_files
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.spill import open_spill_folder, spill_unit
from pipeline.deduplication.write_verdicts import write_unit_verdicts
from pipeline.engines.beam_pipeline import open_pipeline
from pipeline.storage import count_rows, exists, in_threads, join, map_in_threads


@dataclass(eq=False)
class ExactDuplicates(beam.PTransform):
    """Adds `duplicates`: all but the best document of each URL, then all but the best of each text."""

    job: Job

    def expand(self, messages: PCollection[Message]) -> PCollection[Message]:
        by_url = messages | "Same URL" >> Exchange(self.job, exact.send_url_keys, exact.drop_same_url)
        by_text = (messages, by_url) | "Same text" >> Exchange(self.job, exact.send_text_keys, exact.drop_same_text)
        return (messages, by_url, by_text) | beam.Flatten()


@dataclass(eq=False)
class NearDuplicates(beam.PTransform):
    """Adds `duplicates`: documents similar to a better one that is kept (the algorithm: deduplication/near.py)."""

    job: Job

    def expand(self, messages: PCollection[Message]) -> PCollection[Message]:
        job = self.job
        counts = messages | "Count bands" >> Exchange(job, near.send_band_keys, count_keys)
        for turn in range(job.settings.rounds):
            send = partial(near.send_to_shared_buckets, turn=turn)
            matches = (messages, counts) | f"Compare {turn}" >> Exchange(job, send, near.compare_buckets)
            decisions = matches | f"Decide {turn}" >> AtUnits(job, partial(near.decide, turn=turn))
            messages = (messages, decisions) | f"Decided {turn}" >> beam.Flatten()
        send = partial(near.send_to_one_place, turn=job.settings.rounds)
        rest = messages | "Decide the rest" >> Exchange(job, send, near.deduplicate_sequentially)
        return (messages, rest) | beam.Flatten()


@dataclass(eq=False)
class Survivors(beam.PTransform):
    """Replaces the links of `duplicates` by `dropped` and `represents`: which kept document represents which."""

    job: Job

    def expand(self, messages: PCollection[Message]) -> PCollection[Message]:
        links = (
            messages
            | "Choose links" >> AtUnits(self.job, survivors.choose_links)
            | "Follow links" >> AtUnits(self.job, survivors.follow_links)
            | "Follow links again" >> AtUnits(self.job, survivors.follow_links)
        )
        return (messages, links) | "Name survivors" >> AtUnits(self.job, survivors.name_survivors)


@dataclass(eq=False)
class RepeatedLines(beam.PTransform):
    """Adds `counts` of lines, and `kept_elsewhere`: lines of survivors to be kept on another page only."""

    job: Job

    def expand(self, messages: PCollection[Message]) -> PCollection[Message]:
        counts = messages | "Count lines" >> Exchange(self.job, repeated_lines.send_line_keys, count_keys)
        elsewhere = (messages, counts) | "Keep on the best page" >> Exchange(
            self.job, repeated_lines.send_shared_lines, repeated_lines.keep_on_best_page
        )
        return (messages, counts, elsewhere) | beam.Flatten()


@dataclass(eq=False)
class WriteVerdicts(beam.PTransform):
    """Writes the verdict file of each unit; returns the counts of each."""

    job: Job

    def expand(self, messages: PCollection[Message]) -> PCollection[DuplicateCounts]:
        # Without a spill folder: the counts are small, and they are not messages to a unit.
        return messages | "Write" >> AtUnits(replace(self.job, spill=None), write_unit_verdicts)


@dataclass(eq=False)
class Deduplicate(beam.PTransform):
    """Messages (unit number, ("unit", StagedUnit)) -> counts of each unit; the verdict files are written on the way."""

    job: Job

    def expand(self, units: PCollection[Message]) -> PCollection[DuplicateCounts]:
        return (
            units
            | ExactDuplicates(self.job)
            | NearDuplicates(self.job)
            | Survivors(self.job)
            | RepeatedLines(self.job)
            | WriteVerdicts(self.job)
        )


def run_deduplicate(
    staged_files: Sequence[str],
    verdict_folder: str,
    settings: DeduplicateSettings,
    pipeline_options: Sequence[str],
    *,
    resume: bool = False,
    staged_documents: int | None = None,
) -> dict[str, Any]:
    """Writes `verdict_folder/<name of the staged file>` for each staged file; returns their summary.

    With `resume`, complete verdicts in the folder, of the same files and settings, are not computed again. A caller
    that knows the number of staged documents saves reading the footer of every staged file.

    Raises `TooMuchLostError` when more documents would be dropped than `max_loss` allows.
    """
    staged = sorted(staged_files, key=lambda path: (PurePosixPath(path).name, path))
    if not staged:
        return summarize(DuplicateCounts(), settings)
    if not (resume and exists(join(verdict_folder, COUNTS_FILE))):
        previous = [path for folder in settings.previous_sketches for path in find_sketch_files(folder, settings)]
        units = [StagedUnit(i, path, previous=i >= len(staged)) for i, path in enumerate([*staged, *previous])]
        counted = previous if staged_documents is not None else [*staged, *previous]
        documents = (staged_documents or 0) + sum(map_in_threads(count_rows, counted))
        run(Job(settings, partition_count(documents, settings), verdict_folder), units, pipeline_options)
    return summarize(read_counts(verdict_folder), settings)


def run(job: Job, units: Sequence[StagedUnit], pipeline_options: Sequence[str]) -> None:
    """The pipeline: units in, verdict files and the file of their counts out."""
    with open_spill_folder(job.folder, pipeline_options) as spill, open_pipeline(pipeline_options) as pipeline:
        units = in_threads(partial(spill_unit, spill), units) if spill else units
        (
            pipeline
            | "Units" >> beam.Create([(unit.index, ("unit", unit)) for unit in units])
            | "Deduplicate" >> Deduplicate(replace(job, spill=spill))
            | "To one place" >> beam.GroupBy(lambda _: 0)
            | "Write counts" >> beam.MapTuple(lambda _, counts: write_counts(job.folder, counts))
        )
