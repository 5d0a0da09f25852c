"""What the launcher does for N units besides the work itself: start, resume, status, word counts, report, finish.

    python -m tests.benchmarks.bookkeeping [--units 10000 100000] [--s3 [ENDPOINT]] [--steps start resume ...]

The units are synthetic: an input of N units that is never read, a tally of each finished unit like that of 2,000 real
pages, and staged and drops files of four bytes, because the launcher only looks at their names and sizes. Ten units
make a part, with the word counts and the statistics of a part of about that size. With --s3 the files are in a bucket
of a local S3 stand-in (moto, which is slow); with --s3 ENDPOINT in the bucket "grist" (created) of a server that
runs already at that address, with the keys of the usual AWS environment variables. Requests per second are printed,
because the server may limit the figures. Every step runs in a process of its own. `beam` is the local runner alone,
with a task that does nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.config import Config
from pipeline.curate import (
    Run,
    Verdicts,
    count_words,
    count_words_task,
    deduplicate,
    plan_run,
    prepare,
    publish,
    publish_task,
    verdict_folder,
    write_reports,
)
from pipeline.deduplication.duplicate_counts import DuplicateCounts, summarize
from pipeline.deduplication.sketch import PUBLISHED_SKETCH
from pipeline.engines.beam_pipeline import open_pipeline
from pipeline.engines.options import LOCAL_OPTIONS
from pipeline.engines.parallel_map import ParallelMap
from pipeline.inspection import status as run_status
from pipeline.inspection.finished_units import FinishedUnits, StoredTally, write_unit_sizes
from pipeline.ledger import Tally
from pipeline.publish import Part, plan_parts
from pipeline.publishing.manifest import claim
from pipeline.publishing.schema import DROP, SHARD
from pipeline.publishing.statistics import Statistics
from pipeline.reading.inputs import Input
from pipeline.stages.order import PAGE_STAGES

UNIT_BYTES = 64_000_000
UNITS_PER_PART = 10
PAGES, KEPT, CHARACTERS = 2_000, 500, 2_000_000  # of one unit
HOSTS = 500  # of one part
Put = Callable[[str, bytes], None]


# --- synthetic files ---


def make_run(units: int, output: str) -> Run:
    """A run of N units; their WARC files are never opened."""
    config = Config.model_validate({"publish": {"shard_bytes": UNITS_PER_PART * CHARACTERS}})
    files = [Input(f"crawl/{n:05d}.warc.gz", f"/nowhere/{n:05d}.warc.gz", 10 * UNIT_BYTES) for n in range(units // 10)]
    return plan_run(files, config, output)


def put_units(run: Run, keys: list[str], put: Put) -> None:
    """The three files of finished units."""
    reasons = {f"filter_heuristics:reason_{n}": (PAGES - KEPT) // 30 for n in range(30)}
    seconds = Counter(dict.fromkeys(PAGE_STAGES, 1.2345))
    tally = Tally(PAGES, KEPT, CHARACTERS, Counter(reasons), Counter(page=PAGES, request=PAGES), seconds)
    content = json.dumps(StoredTally(tally, {"staged": 4, "drops": 4}).to_json(), indent=1).encode()
    for key in keys:
        put(run.layout.unit("staged", key), b"PAR1")
        put(run.layout.unit("drops", key), b"PAR1")
        put(run.layout.unit("tally", key), content)


def put_parts(run: Run, put: Put) -> None:
    """What deduplication, `CountWords` and `WritePart` leave."""
    parts, folder = _parts(run), verdict_folder(run)
    summary = summarize(DuplicateCounts(), run.config.deduplicate)
    put(storage.join(folder, "summary.json"), json.dumps(summary).encode())
    verdicts = Verdicts(folder, summary)
    word_counts, published = count_words_task(run, verdicts), publish_task(run, verdicts, {})
    words = [[f"domain_{d}", q, 1000] for d in range(24) for q in range(0, 100, 5)]
    counts = {"words": words, "documents": {f"domain_{d}": KEPT for d in range(24)}}
    for part in parts:
        put(storage.join(word_counts.folder, word_counts.name(part)), json.dumps(counts, indent=1).encode())
        put(storage.join(published.folder, published.name(part)), json.dumps(_part_result(part), indent=1).encode())
    tables = {"shards": SHARD, "drops": DROP, "sketches": PUBLISHED_SKETCH}
    for kind, schema in tables.items():
        buffer = BytesIO()
        pq.write_table(pa.table([[]] * len(schema), schema=schema), buffer)
        for part in parts:
            put(run.layout.part(kind, part.number), buffer.getvalue())


def _part_result(part: Part) -> dict[str, Any]:
    kept, pages = UNITS_PER_PART * KEPT, UNITS_PER_PART * PAGES
    statistics = Statistics(
        kept=Counter(documents=kept, words=300 * kept, characters=UNITS_PER_PART * CHARACTERS, duplicates=0),
        dropped=Counter({"filter_heuristics:reason_0": pages - kept}),
        hosts=Counter({f"host-{n}.example.com": kept // HOSTS for n in range(HOSTS)}),
        dropped_hosts=Counter({f"host-{n}.example.org": kept // HOSTS for n in range(HOSTS)}),
        languages=Counter(en=kept),
    )
    entry = {"rows": kept, "bytes": 10**8, "sha256": "0" * 64, "content": "0" * 64}
    kinds = ("shards", "drops", "sketches")
    files = {kind: {"path": f"{kind}/part-{part.number:05d}.parquet", **entry} for kind in kinds}
    return {"files": files, "statistics": statistics.to_json()}


# --- steps ---


def start(run: Run) -> None:
    """What happens before the first unit: claim the folder, list the units, find what is done."""
    claim(run.layout, run.identity, {}, overwrite=False)
    write_unit_sizes(run.layout, run.sizes)
    finished = FinishedUnits(run.layout, run.sizes)
    finished.update(check_files=True)
    pending = [unit for key, unit in run.units.items() if key not in finished]
    print(f"{len(finished):,} units done, {len(pending):,} to do", file=sys.stderr)


def status(run: Run) -> None:
    """`gristmill status`, without the five seconds between its two readings."""
    run_status.STATUS_SECONDS = 0.0
    print(run_status.read_status(run.layout.root).describe(), file=sys.stderr)


def finished_units(run: Run) -> None:
    """All units are prepared: the launcher reads every tally."""
    if len(prepare(run)) != len(run.units):
        raise AssertionError


def report(run: Run) -> None:
    """All parts are written: adds up word counts and statistics, writes report and manifest."""
    parts = _parts(run)
    verdicts = deduplicate(run, FinishedUnits(run.layout, run.sizes))
    counts = count_words(run, verdicts, parts)
    kept, pages = KEPT * len(run.units), PAGES * len(run.units)
    reasons = Counter({"filter_heuristics:reason_0": pages - kept})
    tally = Tally(pages, kept, CHARACTERS * len(run.units), reasons, Counter(page=pages))
    write_reports(run, tally, verdicts, counts, publish(run, verdicts, parts, counts))


def finish(run: Run) -> None:
    """Deletes the work folder."""
    storage.remove_folder(storage.join(run.layout.root, "work"))


def local_runner(run: Run) -> None:
    """Beam's local runner with a task that does nothing, for comparison."""
    with open_pipeline(LOCAL_OPTIONS) as pipeline:
        pipeline | beam.Create(list(run.units.values())) | ParallelMap(_do_nothing, nullcontext)


def _do_nothing(unit: Any, tool: None) -> Mapping[str, int]:
    return {"units_done": 1}


def _parts(run: Run) -> list[Part]:
    return plan_parts(dict.fromkeys(run.units, CHARACTERS), run.config.publish.shard_bytes)


STEPS: dict[str, Callable[[Run], None]] = {
    "start": start,
    "resume": start,
    "status": status,
    "all prepared": finished_units,
    "report": report,
    "finish": finish,
    "beam": local_runner,
}


def run_step(step: str, units: int, output: str) -> dict[str, float]:
    """Runs one step in this process: wall and CPU time in seconds, peak memory in bytes, requests to S3."""
    requests = count_s3_requests() if storage.is_remote(output) else iter([1])
    wall, cpu = time.perf_counter(), time.process_time()
    STEPS[step](make_run(units, output))
    # Not ru_maxrss, which a process inherits from the one that started it: with moto that one holds all files.
    peak = 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**seconds, "peak": peak, "requests": next(requests) - 1}


def count_s3_requests() -> Iterator[int]:
    """A counter whose next value is the number of requests that this process has sent to S3, and one."""
    from aiobotocore.httpsession import AIOHTTPSession

    numbers, send = count(1), AIOHTTPSession.send

    def send_counted(session: Any, request: Any) -> Any:
        next(numbers)
        return send(session, request)

    AIOHTTPSession.send = send_counted
    return numbers


# --- measuring ---


class Store:
    """A temporary folder, and how the synthetic files are written."""

    environment: Mapping[str, str] = {}

    def __init__(self, root: str) -> None:
        self.root = root

    def put(self, path: str, content: bytes) -> None:
        """Writes a file without the flush to the disk that a real run does."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_bytes(content)


class MotoStore(Store):
    """A bucket of the S3 stand-in in this process."""

    def __init__(self, bucket: Any) -> None:
        super().__init__("s3://grist/bookkeeping")
        self.bucket, self.environment = bucket, bucket.environment

    def put(self, path: str, content: bytes) -> None:
        self.bucket.put(path.removeprefix("s3://grist/"), content)


class S3Store(Store):
    """A bucket of a server that runs already; files are put by presigned requests, which cost little of this CPU."""

    def __init__(self, endpoint: str) -> None:
        import boto3
        import urllib3

        super().__init__(f"s3://grist/bookkeeping-{time.time_ns():x}")
        # Some servers send the checksum of the whole file with a part of it.
        self.environment = {"AWS_ENDPOINT_URL": endpoint, "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
        self.bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("grist")
        if not self.bucket.creation_date:
            self.bucket.create()
        self.http = urllib3.PoolManager()

    def put(self, path: str, content: bytes) -> None:
        target = {"Bucket": "grist", "Key": path.removeprefix("s3://grist/")}
        url = self.bucket.meta.client.generate_presigned_url("put_object", Params=target)
        answer = self.http.request("PUT", url, body=content)
        if answer.status != 200:
            raise OSError(f"{path}: the server answered {answer.status}")

    def remove(self) -> None:
        """Deletes what the measurement left."""
        self.bucket.objects.filter(Prefix=self.root.removeprefix("s3://grist/")).delete()


@contextmanager
def open_store(s3: str | None) -> Iterator[Store]:
    """A temporary folder (None), a bucket of moto ("moto") or of the server at an address."""
    if s3 == "moto":
        from tests.pipeline.engines.s3 import serve_s3

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request
        with serve_s3() as bucket:
            yield MotoStore(bucket)
    elif s3:
        store = S3Store(s3)
        try:
            yield store
        finally:
            store.remove()
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Store(folder)


def measure(units: int, s3: str | None, steps: list[str]) -> None:
    """Prints a line for each step."""
    with open_store(s3) as store:
        output = f"{store.root}/{units}"
        run = make_run(units, output)
        keys = list(run.units)
        for step in steps:
            if step == "resume":
                put_units(run, keys[: units // 2], store.put)
            if step == "all prepared":
                put_units(run, keys[units // 2 :], store.put)
            if step == "report":
                put_parts(run, store.put)
            command = [sys.executable, "-m", "tests.benchmarks.bookkeeping", "--step", step, str(units), output]
            environment = {**os.environ, **store.environment}
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
            figures = json.loads(done.stdout.splitlines()[-1])
            requests = figures["requests"]
            rate = f"{requests:>10,} requests{requests / figures['wall']:>7,.0f}/s" if requests else ""
            print(
                f"{units:>8,} units  {step:<14}{figures['wall']:>8.1f} s wall{figures['cpu']:>8.1f} s CPU"
                f"{figures['peak'] / 1e6:>8,.0f} MB{rate}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--s3", nargs="?", const="moto", metavar="ENDPOINT")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        name, number, folder = arguments.step
        print(json.dumps(run_step(name, int(number), folder)))
    else:
        for number in arguments.units:
            measure(number, arguments.s3, arguments.steps)
