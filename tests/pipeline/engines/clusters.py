"""A standalone Spark cluster on the loopback: one master, two workers, from the jars of the installed pyspark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.engines.job_server import SPARK, JobServer, find_jars, free_ports, spark_jars
from pipeline.engines.options import EngineError
from tests.conftest import MINICRAWL

# Where the start of an engine is what takes time, a part of the mini-crawl proves as much as the whole.
SMALL_CRAWL = [MINICRAWL / f"minicrawl-0000{end}" for end in ("2.warc.gz", "3.warc", "6.warc.gz")]


def skip_without(server: JobServer) -> None:
    """Skips where there is no Java or no job server (and no Maven to fetch one)."""
    if not shutil.which("java"):
        pytest.skip("needs Java, and there is no `java` on this machine")
    try:
        find_jars(server)
    except EngineError as error:
        pytest.skip(str(error))


def jars_on_nodes() -> tuple[str, str]:
    """A setting of Spark and an option of Beam for nodes that have the job server's jars.

    By default each executor fetches the job server's whole class path when a job starts: 386 files, 419 MB.
    """
    jars = find_jars(SPARK)
    smallest = min(jars, key=lambda jar: jar.stat().st_size)
    return f"spark.executor.extraClassPath={jars[0].parent}/*", f"files_to_stage={smallest}"


@dataclass
class Cluster:
    """Where the master listens, the processes of the workers, and their logs and work folders."""

    folder: Path
    master: str
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def spark_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        stack.enter_context(_daemon(folder / "master.log", "master.Master", "--port", port))
        _wait_for_port(port)
        master = f"spark://127.0.0.1:{port}"
        started = []
        for number in range(workers):
            arguments = ("--cores", 1, "--memory", "1g", "--work-dir", folder / f"worker-{number}", master)
            log = folder / f"worker-{number}.log"
            started.append(stack.enter_context(_daemon(log, "worker.Worker", *arguments)))
        for number in range(workers):
            _wait_for_line(folder / f"worker-{number}.log", "Successfully registered with master")
        yield Cluster(folder, master, started)


@contextmanager
def _daemon(log: Path, name: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = ["java", "-Xmx256m", "-cp", f"{spark_jars()}/*", f"org.apache.spark.deploy.{name}"]
    command += ["--host", "127.0.0.1", "--webui-port", "0", *map(str, arguments)]
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("sun.nio.ch", "java.nio", "java.lang")]
    command[1:1] = opened
    with log.open("wb") as sink:
        home = {"SPARK_HOME": str(spark_jars().parent), "SPARK_SCALA_VERSION": "2.12", "SPARK_LOCAL_IP": "127.0.0.1"}
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env={**os.environ, **home})
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"port {port} does not open")


def _wait_for_line(log: Path, line: str) -> None:
    deadline = time.monotonic() + 300
    while line not in log.read_text(errors="replace"):
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)
