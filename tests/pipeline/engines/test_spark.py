"""A real Spark cluster (one master, two workers) writes the same manifest, whatever of it is killed in mid-run.

One cluster for all tests. Most of a run's time is the start of executors and Python workers for each of four jobs, so
each test is one run that proves several things. One of them reads the whole mini-crawl, with executors that fetch their
jars, as they do by default.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from pipeline.engines.job_server import SPARK
from pipeline.errors import RunFailedError
from tests.conftest import MINICRAWL, ROOT
from tests.pipeline.engines.clusters import SMALL_CRAWL, jars_on_nodes, skip_without, spark_cluster

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes on a busy machine

Found = TypeVar("Found")
SMALL = ("--set", "prepare.unit_bytes=40000")  # many units, to distribute and to lose
ON_LOOPBACK = ("--spark-conf", "spark.driver.host=127.0.0.1", "--spark-conf", "spark.driver.bindAddress=127.0.0.1")


@pytest.fixture(scope="module", autouse=True)
def _jars():
    skip_without(SPARK)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with spark_cluster(folder) as cluster:
        yield cluster


def on_spark(cluster, *arguments: object) -> tuple[object, ...]:
    return ("curate", *arguments, "--engine", "spark", "--spark-master", cluster.master, *ON_LOOPBACK)


def with_jars_on_nodes() -> tuple[str, ...]:
    spark, beam = jars_on_nodes()
    return ("--spark-conf", spark, "--beam", beam)


def manifest(output: Path) -> bytes:
    return (output / "manifest.json").read_bytes()


def test_a_spark_cluster_writes_the_bytes_of_the_local_engine(cluster, tmp_path, gristmill):
    gristmill("curate", MINICRAWL, "--output", tmp_path / "local", "--workers", 2, *SMALL)
    spark = tmp_path / "spark"
    gristmill(*on_spark(cluster, MINICRAWL, "--output", spark, *SMALL, "--environment", "loopback"))
    assert manifest(spark) == manifest(tmp_path / "local")
    assert len(list(cluster.folder.glob("worker-*/app-*/*"))) >= 2, "an executor on each worker"


def test_a_worker_pool_beside_the_executors_writes_the_same(cluster, tmp_path, gristmill):
    from pipeline.engines.environments import find_worker_command
    from pipeline.engines.job_server import free_ports

    gristmill("curate", *SMALL_CRAWL, "--output", tmp_path / "local")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    pool = subprocess.Popen(
        [*command, f"--container_executable={find_worker_command()}"],
        stderr=subprocess.DEVNULL,
        # Jobs that a shell starts in the background ignore SIGINT, and so would the pool: it could not be stopped.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        environment = ("--environment", f"external=localhost:{port}", *with_jars_on_nodes())
        gristmill(*on_spark(cluster, *SMALL_CRAWL, "--output", tmp_path / "spark", *environment))
        assert manifest(tmp_path / "spark") == manifest(tmp_path / "local")
    finally:
        pool.send_signal(signal.SIGINT)
        pool.wait(30)


class Run:
    """A run on the cluster whose Python workers are started by the nodes."""

    def __init__(self, cluster, pages: Path, output: Path) -> None:
        command = on_spark(
            cluster, pages, "--output", output, *SMALL, "--environment", "process", *with_jars_on_nodes()
        )
        self.cluster, self.output = cluster, output
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, command)],
            cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def wait_for(self, look: Callable[[], Found | None]) -> Found:
        """What `look` finds at last."""
        deadline = time.monotonic() + 600
        while not (found := look()):
            assert self.process.poll() is None, self.process.communicate()[1][-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return found

    def finished_units(self) -> int:
        return len(list(self.output.glob("work/*/tally/*")))

    def job_server(self) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if any("SparkJobServerDriver" in part for part in child.cmdline()))

    def find_executor(self, jobs: set[str]) -> tuple[str, psutil.Process] | None:
        """An executor that works at none of these jobs (ids of Spark) and has a Python worker; the last job has one."""
        workers = (psutil.Process(worker.pid) for worker in self.cluster.workers)
        for child in [child for worker in workers for child in worker.children()]:
            with suppress(psutil.Error, ValueError):
                command = child.cmdline()
                job = command[command.index("--app-id") + 1]
                if job not in jobs and any("gristmill-worker" in " ".join(each.cmdline()) for each in child.children()):
                    return job, child
        return None

    def end(self) -> tuple[int, str]:
        """The exit code, and what was printed."""
        _, printed = self.process.communicate(timeout=1200)
        return self.process.returncode, printed


def kill(process: psutil.Process) -> None:
    """With all that it has started, as if the machine had failed."""
    for each in (*process.children(recursive=True), process):
        with suppress(psutil.NoSuchProcess):
            each.kill()


def test_whatever_is_killed_in_mid_run_changes_nothing(cluster, tmp_path, gristmill):
    """The job server, the command itself, then an executor in each of the four jobs, at last a worker with it."""
    data = Path(os.environ.get("GRISTMILL_DATA", ROOT.parent / "shared" / "data"))
    pages = data / "warc" / "clueweb09-sample-00000.warc.gz"
    pages = pages if pages.exists() else MINICRAWL / "minicrawl-00001.warc.gz"
    gristmill("curate", pages, "--output", tmp_path / "local", *SMALL)
    output = tmp_path / "out"

    run = Run(cluster, pages, output)
    run.wait_for(run.finished_units)
    run.job_server().kill()
    code, printed = run.end()
    assert code == RunFailedError.exit_code, printed[-3000:]
    assert "the job server at localhost:" in printed.splitlines()[-1]
    assert not (output / "manifest.json").exists()

    run = Run(cluster, pages, output)
    done = run.finished_units()
    run.wait_for(lambda: run.finished_units() > done)
    server = run.job_server()
    run.process.kill()
    run.process.wait()
    server.wait(60)  # it does not outlive the command that started it

    run, jobs = Run(cluster, pages, output), set[str]()
    while len(jobs) < 4:
        job, executor = run.wait_for(lambda: run.find_executor(jobs))
        jobs.add(job)
        kill(executor if len(jobs) < 4 else executor.parent())
    code, printed = run.end()
    assert code == 0, printed[-3000:]
    assert {path.name for path in output.glob("work/*/*")} == {"drops", "extracted", "staged", "tally"}, "finished"
    assert manifest(output) == manifest(tmp_path / "local")
