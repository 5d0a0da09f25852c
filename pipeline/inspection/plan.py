"""`gristmill plan`: estimates the cost and yield of a whole run from a few hundred of its pages.

The sample consists of the first pages of a dozen units, spread evenly over the input. The estimate is the cost and
yield per compressed byte of the sample, times the bytes of the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

import psutil

from pipeline.config import Config
from pipeline.documents import Document, Dropped, Page
from pipeline.errors import RunFailedError
from pipeline.ledger import UNREADABLE
from pipeline.page_process.chain import Outcome, open_worker
from pipeline.page_process.killable_process import KillableWorker, PageLost
from pipeline.reading.formats import check_formats
from pipeline.reading.inputs import Input
from pipeline.reading.units import Unit, cut_units
from pipeline.reports.formatting import duration
from pipeline.stages.read_documents import check_inputs
from pipeline.stages.read_input import read_unit
from pipeline.stages.read_warc import OtherRecord
from pipeline.text import count_words

SAMPLED_UNITS = 12
PARQUET_RATIO = 0.45  # zstd bytes per character of text, measured on real shards
WORK_RATIO = 3.3  # bytes of work files by those of shards, measured on 1,504 real pages
MAIN_MEMORY = 350_000_000  # bytes of the process that reads and writes, with Beam; measured on the mini-crawl
Z95 = 1.96


@dataclass(slots=True)
class Sample:
    """Cost and yield of the sampled pages."""

    bytes: int = 0  # compressed
    pages: int = 0
    unreadable: int = 0  # of the pages: damaged parts of files
    kept: int = 0
    words: int = 0
    characters: int = 0
    wall_seconds: float = 0.0  # of reading and of the stages, with one worker
    cpu_seconds: float = 0.0
    peak_memory: int = 0  # bytes of the page process
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The estimate, before deduplication, which lowers the number of kept pages."""

    sample: Sample
    files: int
    units: int
    bytes: int
    workers: int
    shuffle_bytes: int  # of one document in deduplication

    @property
    def scale(self) -> float:
        """Compressed bytes of the input per byte of the sample."""
        return self.bytes / max(self.sample.bytes, 1)

    @property
    def hours(self) -> float:
        """Wall time of the prepare job with `workers` workers."""
        return self.sample.wall_seconds * self.scale / self.workers / 3600

    @property
    def memory_bytes(self) -> int:
        """Memory of the prepare job in bytes: the page processes and the main process."""
        return MAIN_MEMORY + self.workers * self.sample.peak_memory

    @property
    def disk_bytes(self) -> float:
        """Size of the shards in bytes."""
        return self.sample.characters * self.scale * PARQUET_RATIO

    @property
    def kept_share(self) -> tuple[float, float, float]:
        """Estimate and the 95% interval (Wilson) of the share of pages kept before deduplication."""
        n, k = self.sample.pages, self.sample.kept
        if not n:
            return 0.0, 0.0, 1.0
        p = k / n
        middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n)) / (1 + Z95**2 / n)
        return p, max(middle - half, 0.0), min(middle + half, 1.0)

    def describe(self) -> str:
        """A table for the terminal."""
        sample, scale = self.sample, self.scale
        pages, kept = sample.pages * scale, sample.kept * scale
        share, low, high = self.kept_share
        rows = [
            ("input", f"{self.files:,} files, {_as_bytes(self.bytes)}, {self.units:,} units of work"),
            (
                "sample",
                f"{sample.pages:,} pages, {_as_bytes(sample.bytes)}, {sample.cpu_seconds:.0f} s of CPU time",
            ),
            ("pages", f"about {_as_number(pages)}"),
            (
                "kept",
                f"about {_as_number(kept)} pages ({share:.1%}; 95%: {low:.1%} to {high:.1%}) before deduplication",
            ),
            ("words", f"about {_as_number(sample.words * scale)}"),
            (
                "time",
                f"{duration(self.hours * 3600)} with {self.workers} workers as fast as this machine's cores; "
                "the jobs after prepare add about a tenth",
            ),
            (
                "CPU",
                f"{sample.cpu_seconds * scale / 3600:,.1f} hours, "
                f"{1000 * sample.cpu_seconds / max(sample.pages, 1):.1f} s per 1,000 pages",
            ),
            (
                "memory",
                f"{_as_bytes(self.memory_bytes)} with {self.workers} workers of {_as_bytes(sample.peak_memory)}",
            ),
            (
                "disk",
                f"{_as_bytes(self.disk_bytes)} of shards; during the run as much again "
                f"and {_as_bytes(kept * self.shuffle_bytes)} of keys and sketches; afterwards "
                f"{_as_bytes(self.disk_bytes * WORK_RATIO)} of work files for reruns, unless by --no-keep-work",
            ),
        ]
        return "\n".join(f"{name:<8}{text}" for name, text in rows)


def make_plan(files: Sequence[Input], config: Config, sample_pages: int, workers: int) -> Plan:
    """Runs `sample_pages` pages through the real stages."""
    check_formats(files)
    check_inputs(files, config.read_documents)
    units = cut_units(files, config.prepare.unit_bytes)
    chosen = [units[i * len(units) // min(SAMPLED_UNITS, len(units))] for i in range(min(SAMPLED_UNITS, len(units)))]
    sample = Sample()
    with open_worker(config) as worker:
        worker.start()
        for unit in chosen:
            _measure_unit(unit, config, worker, math.ceil(sample_pages / len(chosen)), sample)
    if sample.pages == sample.unreadable:
        raise RunFailedError(
            f"{files[0].path}: no page was read in the sample of {len(chosen)} units ({sample.unreadable:,} damaged "
            "parts); are these WARC files?"
        )
    total = sum(unit.size for unit in units)
    return Plan(sample, len(files), len(units), total, workers, _bytes_per_document(config))


def _measure_unit(unit: Unit, config: Config, worker: KillableWorker, pages: int, sample: Sample) -> None:
    """Adds the unit's first `pages` pages to the sample."""
    start, reading = perf_counter(), process_time()
    end = unit.start
    for number, (position, item) in enumerate(_read_pages(unit, config)):
        if number == pages:  # the first page after the sample ends the sampled bytes
            end = position
            break
        sample.pages += 1
        if isinstance(item, Page):
            _add_outcome(worker.run(item), sample)
        else:
            sample.unreadable += f"{item.stage}:{item.reason}" in UNREADABLE
    else:
        end = unit.end
    sample.bytes += unit.bytes_before(end)
    sample.wall_seconds += perf_counter() - start
    sample.cpu_seconds += process_time() - reading
    sample.peak_memory = max([sample.peak_memory, *map(_peak_memory, psutil.Process().children())])


def _peak_memory(process: psutil.Process) -> int:
    """Peak resident memory in bytes; the current one where the system does not record the peak."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:
        return int(process.memory_info().rss)


def _bytes_per_document(config: Config) -> int:
    """Bytes that the shuffles of deduplication move for one document; measured on real pages: 0.7 to 2 kB."""
    line_keys = 8 * 40  # forty lines are a long page
    sketches_and_verdicts = 1700  # measured with 50 partitions where a fifth of the documents have near-duplicates
    return 2 * 66 + 8 * config.deduplicate.bands + line_keys + sketches_and_verdicts


def _read_pages(unit: Unit, config: Config) -> Iterator[tuple[int, Page | Dropped]]:
    for position, item in read_unit(unit, config.read_warc, config.read_documents):
        if not isinstance(item, OtherRecord):
            yield position, item


def _add_outcome(answer: Outcome | PageLost, sample: Sample) -> None:
    if isinstance(answer, PageLost):
        return
    sample.cpu_seconds += sum(answer.cpu_seconds.values())
    if isinstance(answer.result, Document):
        sample.kept += 1
        sample.words += count_words(answer.result.text)
        sample.characters += len(answer.result.text)


def _as_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} PB"


def _as_number(count: float) -> str:
    for unit in ("", " thousand", " million", " billion"):
        if count < 1000 or unit == " billion":
            return f"{count:,.0f}{unit}" if not unit or count >= 100 else f"{count:.1f}{unit}"
        count /= 1000
    raise AssertionError
