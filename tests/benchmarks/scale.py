"""How costs grow with the input: CPU, shuffle, memory and wall time of each job at 1x, 2x, 4x and 8x the pages.

    python -m tests.benchmarks.scale [--pages 120] [--sizes 1 2 4 8] [--workers 1 2]
    python -m tests.benchmarks.scale --sketches 1000000 [4000000]
    python -m tests.benchmarks.scale --sketches 20000 --partitions 1 50 2000

Real pages from GRISTMILL_DATA (default ../shared/data). Each further copy of a page has a new URL. One copy in five is
identical; in the others every third word is replaced by one from elsewhere on the page, so that no 5-gram is left and
they are not duplicates. With --sketches only deduplication runs, on sketches of random numbers: a fifth near duplicates
of others, ten lines per document; with --partitions only its shuffled bytes and the wall time are measured.

    CPU     of all processes, per page          shuffle  bytes of every element that reaches a GroupByKey, pickled
    memory  of the largest process during the job
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.config import Config
from pipeline.curate import count_words, deduplicate, plan_run, prepare, publish, write_reports
from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication import exchange
from pipeline.deduplication.exchange import Deduplicate
from pipeline.deduplication.messages import Job
from pipeline.deduplication.records import StagedUnit
from pipeline.documents import Page
from pipeline.engines.options import LOCAL_OPTIONS
from pipeline.publish import plan_parts
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import read_unit
from tests.benchmarks import data_folder

UNIT_BYTES = 500_000
LINES = 10
_TEXT = re.compile(rb"(?<=>)[^<>]{40,}(?=<)")


# --- pages ---


def real_pages(count: int) -> list[Page]:
    """`count` pages from all sources."""
    inputs = resolve_inputs([str(data_folder() / "warc")], prefix=None, limit=None)
    share = -(-count // len(inputs))
    return [page for unit in cut_units(inputs, 10**12) for page in _sample(unit, share)][:count]


def _sample(unit: Any, share: int) -> Iterator[Page]:
    pages = [item for item in read_unit(unit, Config().read_warc) if isinstance(item, Page)]
    yield from pages[:: max(1, len(pages) // share)][:share]


def copy_page(page: Page, number: int) -> tuple[str, bytes]:
    """URL and body of one copy."""
    url = page.url.replace("://", f"://copy{number}.", 1) if number else page.url
    r = random.Random(f"{number} {page.url}")
    if number == 0 or r.random() < 0.2:
        return url, page.content
    pool = b" ".join(_TEXT.findall(page.content)).split() or [b"word"]

    def replace_words(found: re.Match[bytes]) -> bytes:
        words = found[0].split(b" ")
        return b" ".join(r.choice(pool) if i % 3 == 1 else word for i, word in enumerate(words))

    return url, _TEXT.sub(replace_words, page.content)


def write_crawl(pages: Sequence[Page], folder: Path, times: int) -> None:
    """One WARC file per copy of the pages."""
    folder.mkdir()
    for number in range(times):
        with (folder / f"copy-{number}.warc.gz").open("wb") as file:
            writer = WARCWriter(file, gzip=True)
            for page in pages:
                url, body = copy_page(page, number)
                charset = f"; charset={page.http_charset}" if page.http_charset else ""
                headers = StatusAndHeaders("200 OK", [("Content-Type", f"text/html{charset}")], protocol="HTTP/1.1")
                date = {"WARC-Date": "2026-11-01T00:00:00Z"}
                record = writer.create_warc_record(
                    url, "response", payload=BytesIO(body), http_headers=headers, warc_headers_dict=date
                )
                writer.write_record(record)


# --- measuring ---


class Meter:
    """Wall and CPU seconds of a block, and the largest process of this one and its children in it."""

    def __enter__(self) -> Meter:
        self.start, self.before, self.peak = time.perf_counter(), _cpu(), 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            own = psutil.Process()
            for process in [own, *own.children(recursive=True)]:
                try:
                    self.peak = max(self.peak, process.memory_info().rss)
                except psutil.Error:
                    continue

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.wall, self.cpu = time.perf_counter() - self.start, _cpu() - self.before


def _cpu() -> float:
    """Of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Counted(beam.PTransform):
    """GroupByKey that counts the bytes of its input."""

    def expand(self, elements):
        return elements | beam.Map(_count_bytes) | beam.transforms.core.GroupByKey()


def _count_bytes(element):
    size = len(pickle.dumps(element, protocol=5))
    beam.metrics.Metrics.counter("scale", "shuffled").inc(size)
    return element


class _CountingBeam:
    """The module `apache_beam` with a GroupByKey that counts."""

    GroupByKey = Counted

    def __getattr__(self, name: str) -> Any:
        return getattr(beam, name)


def shuffled_bytes(units: Sequence[StagedUnit], job: Job) -> int:
    """Bytes that deduplication sends through its shuffles."""
    exchange.beam = _CountingBeam()  # type: ignore[assignment]
    try:
        graph = beam.Pipeline(options=beam.options.pipeline_options.PipelineOptions(list(LOCAL_OPTIONS)))
        created = graph | "Units" >> beam.Create([(unit.index, ("unit", unit)) for unit in units])
        created | "Deduplicate" >> Deduplicate(job)
        result = graph.run()
        result.wait_until_finish()
    finally:
        exchange.beam = beam
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_name("shuffled"))["counters"]
    return sum(counter.committed for counter in counters)


# --- whole runs ---


def one_run(folder: Path, output: Path, workers: int) -> dict[str, Any]:
    """The four jobs, each measured; in a process of its own, so that no run inherits the memory of another."""
    config = Config.model_validate({"prepare": {"unit_bytes": UNIT_BYTES}})
    run = plan_run(resolve_inputs([str(folder)], prefix=None, limit=None), config, str(output), workers=workers)
    seen = {}
    with Meter() as seen["prepare"]:
        finished = prepare(run)
    with Meter() as seen["deduplicate"]:
        verdicts = deduplicate(run, finished)
    with Meter() as seen["count words"]:
        parts = plan_parts(finished.characters, config.publish.shard_bytes)
        counts = count_words(run, verdicts, parts)
    with Meter() as seen["publish"]:
        manifest = write_reports(run, finished.total, verdicts, counts, publish(run, verdicts, parts, counts))
    paths = [run.layout.unit("staged", key) for key in run.units]
    units = [StagedUnit(number, path, previous=False) for number, path in enumerate(paths)]
    job = Job(config.deduplicate, 1, str(output / "counted"))
    figures = {name: {"wall": p.wall, "cpu": p.cpu, "peak": p.peak} for name, p in seen.items()}
    kept = {"pages": manifest["pages"], "kept": manifest["kept"], "documents": finished.total.kept}
    return {"jobs": figures, **kept, "shuffled": shuffled_bytes(units, job), "hash": manifest["content_hash"]}


def whole_runs(count: int, sizes: Sequence[int], workers: Sequence[int]) -> None:
    """Prints a line for each size, number of workers and job."""
    pages = real_pages(count)
    print("size workers pages    kept  job           wall s   CPU ms/page   largest MB   shuffle bytes/document")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            write_crawl(pages, Path(folder) / f"{size}x", size)
            hashes = set()
            for number in workers:
                command = [sys.executable, "-m", "tests.benchmarks.scale", "--one-run", f"{folder}/{size}x"]
                command += [f"{folder}/out-{size}-{number}", str(number)]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
                figures = json.loads(done.stdout)
                hashes.add(figures["hash"])
                _show(size, number, figures)
            if len(hashes) > 1:
                raise SystemExit(f"{size}x: the content depends on the number of workers: {hashes}")


def _show(size: int, workers: int, figures: dict[str, Any]) -> None:
    for name, job in figures["jobs"].items():
        shuffle = f"{figures['shuffled'] / max(figures['documents'], 1):12,.0f}" if name == "deduplicate" else ""
        print(
            f"{size:>3}x {workers:>7} {figures['pages']:>6} {figures['kept']:>7}  {name:<12}{job['wall']:>8.1f}"
            f"{1000 * job['cpu'] / figures['pages']:>14.1f}{job['peak'] / 1e6:>13.0f}{shuffle}"
        )


# --- deduplication alone ---


def write_sketches(folder: Path, documents: int, unit_documents: int = 50_000) -> list[str]:
    """Staged files of random sketches; a fifth of the documents share all bands but one with an earlier one."""
    settings = Config().deduplicate
    r = np.random.default_rng(1)
    paths = []
    for number, start in enumerate(range(0, documents, unit_documents)):
        n = min(unit_documents, documents - start)
        bands = r.integers(1, 2**63, (n, settings.bands), np.uint64)
        sketch = r.integers(0, 256, (n, settings.signature_rows), np.uint8)
        copies = np.flatnonzero(r.random(n) < 0.2)[1:]
        sources = (r.random(len(copies)) * copies).astype(np.int64)
        bands[copies, :-1], sketch[copies] = bands[sources, :-1], sketch[sources]
        sketch[copies, -settings.rows :] = r.integers(0, 256, (len(copies), settings.rows), np.uint8)
        columns = {
            "id": [f"{start + i:032x}" for i in range(n)],
            "url": [f"https://site{(start + i) % 997}.example/{start + i}" for i in range(n)],
            "host": [f"site{(start + i) % 997}.example" for i in range(n)],
            "registered_domain": [f"site{(start + i) % 997}.example" for i in range(n)],
            "warc_file": ["synthetic.warc.gz"] * n,
            "fetched_at": ["2026-11-01T00:00:00Z"] * n,
            "quality_score": r.random(n),
            "characters": r.integers(500, 20_000, n),
            "words": r.integers(100, 4_000, n),
            "url_key": _binary(r.integers(0, 256, (n, 16), np.uint8)),
            "text_key": _binary(r.integers(0, 256, (n, 16), np.uint8)),
            "bands": _binary(bands.astype("<u8")),
            "sketch": _binary(sketch),
            "paragraphs": _binary(r.integers(1, 2**63, (n, LINES), np.uint64).astype("<u8")),
            "paragraph_words": _binary(np.full((n, LINES), 20, "<u2")),
        }
        path = folder / f"{number:05d}.parquet"
        pq.write_table(pa.table(columns), path)
        paths.append(str(path))
    return paths


def _binary(rows: np.ndarray) -> pa.Array:
    width = rows.dtype.itemsize * rows.shape[1]
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows).tobytes())]
    )
    return fixed.cast(pa.binary())


def sketches_alone(documents: int) -> None:
    """Prints wall time, CPU time and memory of deduplication alone."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "staged").mkdir()
        paths = write_sketches(Path(folder) / "staged", documents)
        with Meter() as meter:
            summary = run_deduplicate(paths, f"{folder}/verdicts", Config().deduplicate, LOCAL_OPTIONS)
    lost = summary["lost"] if "lost" in summary else summary["share_lost"] * documents
    print(
        f"{documents:,} sketches: {meter.wall:.0f} s wall, {1e6 * meter.cpu / documents:.0f} us CPU per document, "
        f"{meter.peak / 1e9:.2f} GB ({meter.peak / documents:.0f} bytes per document), {lost:,.0f} duplicates"
    )


def shuffles_alone(documents: int, partitions: Sequence[int]) -> None:
    """Prints the bytes that deduplication shuffles with each number of partitions."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "staged").mkdir()
        paths = write_sketches(Path(folder) / "staged", documents, unit_documents=-(-documents // 10))
        units = [StagedUnit(number, path) for number, path in enumerate(paths)]
        for count in partitions:
            start = time.perf_counter()
            size = shuffled_bytes(units, Job(Config().deduplicate, count, f"{folder}/verdicts-{count}"))
            wall = time.perf_counter() - start
            print(
                f"{documents:,} sketches, {count:,} partitions: "
                f"{size / documents:,.0f} bytes per document, {wall:.1f} s"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=120)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sketches", type=int, nargs="+")
    parser.add_argument("--partitions", type=int, nargs="+")
    parser.add_argument("--one-run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_run:
        print(json.dumps(one_run(Path(arguments.one_run[0]), Path(arguments.one_run[1]), int(arguments.one_run[2]))))
    elif arguments.sketches:
        for documents in arguments.sketches:
            if arguments.partitions:
                shuffles_alone(documents, arguments.partitions)
            else:
                sketches_alone(documents)
    else:
        whole_runs(arguments.pages, arguments.sizes, arguments.workers)
