"""Deduplication and the first job on a standalone Spark cluster of two workers on this machine, against the local run.

    python -m tests.benchmarks.on_spark --sketches 100000 [1000000]
    python -m tests.benchmarks.on_spark --pages 2000

Needs Java; the nodes have the job server's jars. Sketches are those of `tests.benchmarks.scale`, pages those of
GRISTMILL_DATA (default ../shared/data). The command fails where verdicts, or the staged documents, are not those of the
local run.

    executor   the largest resident memory of an executor's Java process
    python     the largest of a Python worker and its page process, together
    shuffled   "Shuffle Bytes Written" of all tasks, compressed, from Spark's event log; the slowest stages follow
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.config import Config
from pipeline.curate import plan_run, prepare
from pipeline.deduplicate import run_deduplicate
from pipeline.engines.launch import Engine, open_engine
from pipeline.engines.options import LOCAL_OPTIONS, EngineOptions
from pipeline.reading.inputs import resolve_inputs
from tests.benchmarks.scale import Meter, real_pages, write_crawl, write_sketches
from tests.pipeline.engines.clusters import Cluster, jars_on_nodes, spark_cluster

HEAP = "1g"
_SLOWEST = 6  # stages that are shown
_EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"


class ExecutorMemory:
    """The largest resident memory, in bytes, of an executor and of a Python worker with its children in the block."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.java, self.python = cluster, 0, 0

    def __enter__(self) -> ExecutorMemory:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            for worker in self.cluster.workers:
                for process in psutil.Process(worker.pid).children():
                    try:
                        self._look(process)
                    except psutil.Error:
                        continue

    def _look(self, executor: psutil.Process) -> None:
        if _EXECUTOR in executor.cmdline():
            self.java = max(self.java, executor.memory_info().rss)
            for python in executor.children():
                family = [python, *python.children(recursive=True)]
                self.python = max(self.python, sum(each.memory_info().rss for each in family))


@contextmanager
def open_spark(folder: Path) -> Iterator[tuple[Cluster, Engine]]:
    """A cluster whose event log is in `folder`, and Beam's options for it."""
    log = folder / "events"
    log.mkdir(parents=True)
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": HEAP,
        "spark.default.parallelism": "6",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": log.as_uri(),
    }
    class_path, staged = jars_on_nodes()
    with spark_cluster(folder) as cluster:
        options = EngineOptions(
            "spark",
            cluster.master,
            (class_path, *(f"{name}={value}" for name, value in settings.items())),
            environment="process",
            beam=(staged,),
        )
        with open_engine(options, 2) as engine:
            yield cluster, engine


@dataclass
class Tasks:
    """Sums over tasks, in seconds and bytes; what is no time of Java's is mostly Python's."""

    count: int = 0
    run: float = 0.0
    java: float = 0.0
    shuffled: int = 0

    def add(self, metrics: Mapping[str, Any]) -> None:
        self.count += 1
        self.run += metrics["Executor Run Time"] / 1e3
        self.java += metrics["Executor CPU Time"] / 1e9
        self.shuffled += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]


def sum_stages(folder: Path) -> dict[str, Tasks]:
    """The tasks of each stage, by the event logs of the cluster in this folder."""
    stages: dict[str, Tasks] = defaultdict(Tasks)
    for path in sorted((folder / "events").iterdir()):
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if metrics := event.get("Task Metrics"):
                stages[f"{path.name[-4:]}/{event['Stage ID']}"].add(metrics)
    return stages


def digest_of(folder: Path) -> str:
    """Of the names and bytes of all Parquet files in the folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def sketches_on_spark(documents: int) -> None:
    """Prints the figures of deduplication, here and on the cluster."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "staged").mkdir()
        paths = write_sketches(folder / "staged", documents)
        settings = Config().deduplicate
        with Meter() as here:
            run_deduplicate(paths, str(folder / "local"), settings, LOCAL_OPTIONS)
        with open_spark(folder / "cluster") as (cluster, engine), ExecutorMemory(cluster) as memory, Meter() as there:
            summary = run_deduplicate(paths, str(folder / "spark"), settings, engine.options)
        if digest_of(folder / "local") != digest_of(folder / "spark"):
            raise SystemExit(f"{documents:,} sketches: the verdicts of Spark are not those of the local run")
        _show(f"{documents:,} sketches, verdicts equal ({summary['share_lost']:.1%} lost)", here, there, memory, folder)


def pages_on_spark(count: int) -> None:
    """Prints the figures of the first job, here and on the cluster."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_crawl(real_pages(count), folder / "crawl", 1)
        inputs = resolve_inputs([str(folder / "crawl")], prefix=None, limit=None)
        config = Config.model_validate({"prepare": {"unit_bytes": 1_000_000}})
        local = plan_run(inputs, config, str(folder / "local"), workers=2)
        with Meter() as here:
            total = prepare(local).total
        with open_spark(folder / "cluster") as (cluster, engine), ExecutorMemory(cluster) as memory, Meter() as there:
            run = plan_run(inputs, config, str(folder / "spark"), workers=2, options=engine.options)
            prepare(run)
        for kind in ("staged", "drops"):
            if digest_of(Path(local.layout.folder(kind))) != digest_of(Path(run.layout.folder(kind))):
                raise SystemExit(f"{count:,} pages: {kind} of Spark are not those of the local run")
        line = f"{total.pages:,} pages in {len(run.units)} units, {total.kept:,} staged, rows equal"
        _show(line, here, there, memory, folder)


def _show(what: str, here: Meter, there: Meter, memory: ExecutorMemory, folder: Path) -> None:
    load = psutil.getloadavg()[0]
    stages = sum_stages(folder / "cluster")
    print(
        f"{what}: {here.wall:.0f} s local, {there.wall:.0f} s on Spark (load {load:.0f}), executor "
        f"{memory.java / 1e9:.2f} GB, python {memory.python / 1e9:.2f} GB, shuffled "
        f"{sum(stage.shuffled for stage in stages.values()) / 1e6:,.0f} MB",
        flush=True,
    )
    for name, stage in sorted(stages.items(), key=lambda each: -each[1].run)[:_SLOWEST]:
        print(f"    stage {name}: {stage.count} tasks, {stage.run:.0f} s, of which Java's CPU {stage.java:.0f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sketches", type=int, nargs="+", default=[])
    parser.add_argument("--pages", type=int)
    values = parser.parse_args(arguments)
    for documents in values.sketches:
        sketches_on_spark(documents)
    if values.pages:
        pages_on_spark(values.pages)


if __name__ == "__main__":
    main()
