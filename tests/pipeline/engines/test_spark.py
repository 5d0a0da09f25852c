"""A real Spark cluster (one master, two workers) writes the same manifest, also if a worker is killed in mid-run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.engines.job_server import SPARK
from tests.conftest import MINICRAWL, ROOT
from tests.pipeline.engines.clusters import skip_without, spark_cluster

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes on a busy machine

SMALL = ("--set", "prepare.unit_bytes=40000")  # many units, to distribute and to lose
ON_LOOPBACK = ("--spark-conf", "spark.driver.host=127.0.0.1", "--spark-conf", "spark.driver.bindAddress=127.0.0.1")


@pytest.fixture(scope="module", autouse=True)
def _jars():
    skip_without(SPARK)


@pytest.fixture(scope="module")
def local(tmp_path_factory, gristmill) -> bytes:
    output = tmp_path_factory.mktemp("local") / "out"
    gristmill("curate", MINICRAWL, "--output", output, "--workers", 2, *SMALL)
    return (output / "manifest.json").read_bytes()


@pytest.fixture
def cluster(tmp_path):
    with spark_cluster(tmp_path) as cluster:
        yield cluster


def on_spark(cluster, *arguments: object) -> tuple[object, ...]:
    return ("curate", *arguments, "--engine", "spark", "--spark-master", cluster.master, *ON_LOOPBACK)


def test_a_spark_cluster_writes_the_bytes_of_the_local_engine(cluster, tmp_path, local, gristmill):
    output = tmp_path / "out"
    gristmill(*on_spark(cluster, MINICRAWL, "--output", output, *SMALL, "--environment", "loopback"))
    assert (output / "manifest.json").read_bytes() == local
    assert len(list(tmp_path.glob("worker-*/app-*/*"))) >= 2, "an executor on each worker"


def test_workers_started_by_the_nodes_write_the_same_for_real_pages(cluster, tmp_path, gristmill):
    data = Path(os.environ.get("GRISTMILL_DATA", ROOT.parent / "shared" / "data"))
    pages = data / "warc" / "clueweb09-sample-00000.warc.gz"
    if not pages.exists():
        pages = MINICRAWL
    gristmill("curate", pages, "--output", tmp_path / "local")
    gristmill(*on_spark(cluster, pages, "--output", tmp_path / "spark", "--environment", "process"))
    assert (tmp_path / "spark/manifest.json").read_bytes() == (tmp_path / "local/manifest.json").read_bytes()


def test_a_worker_pool_beside_the_executors_writes_the_same(cluster, tmp_path, local, gristmill):
    from pipeline.engines.environments import find_worker_command
    from pipeline.engines.job_server import free_ports

    (port,) = free_ports(1)
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    pool = subprocess.Popen(
        [*command, f"--container_executable={find_worker_command()}"],
        stderr=subprocess.DEVNULL,
        # Jobs that a shell starts in the background ignore SIGINT, and so would the pool: it could not be stopped.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        output = tmp_path / "out"
        environment = ("--environment", f"external=localhost:{port}")
        gristmill(*on_spark(cluster, MINICRAWL, "--output", output, *SMALL, *environment))
        assert (output / "manifest.json").read_bytes() == local
    finally:
        pool.send_signal(signal.SIGINT)
        pool.wait(30)


def test_a_worker_killed_in_mid_run_changes_nothing(cluster, tmp_path, local):
    output = tmp_path / "out"
    command = on_spark(cluster, MINICRAWL, "--output", output, *SMALL, "--environment", "process")
    run = subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, command)],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while len(list(output.glob("work/*/tally/*"))) < 2:
        assert run.poll() is None, run.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    victims = [psutil.Process(cluster.workers[0].pid)]
    victims += victims[0].children(recursive=True)  # its executor and the Python workers, as if the machine had failed
    for victim in victims:
        victim.kill()
    _, errors = run.communicate(timeout=1200)
    assert run.returncode == 0, errors[-3000:]
    assert {path.name for path in output.glob("work/*/*")} == {"drops", "extracted", "staged", "tally"}, "finished"
    assert (output / "manifest.json").read_bytes() == local
