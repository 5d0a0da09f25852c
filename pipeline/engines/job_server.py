"""Beam's job server for Spark and Flink: find or fetch its jars, and run it as a Java process while a job lasts.

A job server translates a Beam pipeline into Spark's or Flink's operations; it is also Spark's driver. Maven assembles
that of the installed Beam from its published parts, once, in the user's cache folder; where a repository lacks some of
them, an older one that the tests have proven. Without Maven, the single jar that Beam publishes for the installed
version is downloaded. With `--job-server` (a jar, a folder of jars, or the address of
a running server) nothing is fetched.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from classifiers.outputs import cache_folder
from pipeline.engines.options import EngineError
from pipeline.stop import cleanup_at_stop

log = logging.getLogger("gristmill")

PROVEN_BEAM = "2.62.0"  # tested with the Python version of Beam that pyproject.toml pins: tests/pipeline/engines
START_SECONDS = 120.0
REASON = "why.txt"  # beside the jars of an older version: what Maven lacks of the installed one
# Packages of the JDK that Spark and Flink access under Java 17, from their own launchers.
_OPENED_PACKAGES = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.security.action",
    "sun.util.calendar",
)  # fmt: skip
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>gristmill</groupId><artifactId>job-server</artifactId><version>{version}</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.beam</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.30</version></dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True, slots=True)
class JobServer:
    """The job server of one engine: its Maven artifact and its main class."""

    name: str
    artifact: str
    driver: str
    gradle_target: str  # Beam's name for its single jar


SPARK = JobServer(
    "spark",
    "beam-runners-spark-3",
    "org.apache.beam.runners.spark.SparkJobServerDriver",
    ":runners:spark:3:job-server:shadowJar",
)
FLINK = JobServer(
    "flink",
    "beam-runners-flink-1.19",
    "org.apache.beam.runners.flink.FlinkJobServerDriver",
    ":runners:flink:1.19:job-server:shadowJar",
)


@contextmanager
def start(server: JobServer, given: str | None, arguments: Sequence[str], properties: Sequence[str]) -> Iterator[str]:
    """HOST:PORT of a job server that runs while the block does, and no longer than this process.

    `given` is the value of --job-server; `properties` are Java system properties, NAME=VALUE.
    """
    if given and _is_address(given):
        if properties:
            raise EngineError(
                f"--spark-conf does not apply to the running job server at {given}; "
                f"start that server with -D{properties[0]}"
            )
        yield given
        return
    jars = find_jars(server, given)
    job, artifact = free_ports(2)
    ports = ["--job-port", str(job), "--artifact-port", str(artifact), "--expansion-port", "0"]
    with tempfile.TemporaryDirectory(prefix="gristmill-jobs-") as folder, _log_file(server) as output:
        command = [
            *_end_with_this_process(),
            _find_java(),
            *(f"-D{each}" for each in properties),
            *_add_opens(),
            *_main_class(server, jars),
        ]
        command += [*ports, "--artifacts-dir", folder, *arguments]
        with output.open("wb") as sink, _run_process(command, sink) as process:
            _wait_for_port(process, job, output)
            yield f"localhost:{job}"


@contextmanager
def _log_file(server: JobServer) -> Iterator[Path]:
    """A file for the server's log, deleted unless the job fails."""
    handle, name = tempfile.mkstemp(prefix=f"gristmill-{server.name}-", suffix=".log")
    os.close(handle)
    try:
        yield Path(name)
    except EngineError:
        os.unlink(name)  # the error message has the end of the log
        raise
    except Exception:
        log.error("the log of the %s job server is %s", server.name, name)
        raise
    os.unlink(name)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def find_jars(server: JobServer, given: str | None = None) -> list[Path]:
    """The jars of a job server: the given ones, those in the cache, assembled by Maven, or Beam's single jar."""
    if given:
        return _find_given_jars(Path(given).expanduser())
    versions = list(dict.fromkeys((version("apache-beam"), PROVEN_BEAM)))
    folders = {each: cache_folder("jobservers") / f"{server.artifact}-{each}" for each in versions}
    present = next((each for each in versions if folders[each].is_dir()), None)
    if present is None:
        if not shutil.which("mvn"):
            return [_download_single_jar(server)]
        present = _assemble_first(server, folders)
    reason = folders[present] / REASON
    why = f", for {reason.read_text(encoding='utf-8')}" if reason.exists() else ""
    log.info("the %s job server is that of Beam %s, in %s%s", server.name, present, folders[present], why)
    return sorted(folders[present].glob("*.jar"))


def _assemble_first(server: JobServer, folders: Mapping[str, Path]) -> str:
    """Assembles the first version of which Maven has all parts; returns it."""
    why = ""
    for each, folder in folders.items():
        try:
            assemble_by_maven(server, each, folder)
        except EngineError as error:
            why = why or str(error)
            log.info("%s; that of Beam %s is tried", why, PROVEN_BEAM)
        else:
            if why:
                (folder / REASON).write_text(why, encoding="utf-8")
            return each
    raise EngineError(f"{why}; pass its jar with --job-server")


def _find_given_jars(path: Path) -> list[Path]:
    jars = sorted(path.glob("*.jar")) if path.is_dir() else [path] if path.is_file() else []
    if not jars:
        raise EngineError(f"--job-server {path}: neither a jar, a folder of jars nor HOST:PORT of a running server")
    return jars


def assemble_by_maven(server: JobServer, beam: str, folder: Path) -> None:
    """Fetch the parts of a job server into a new folder. Raises EngineError, which names the first missing part."""
    log.info("fetching the %s job server of Beam %s by Maven into %s (once)", server.name, beam, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as work:
        (Path(work) / "pom.xml").write_text(_POM.format(artifact=server.artifact, version=beam))
        command = [
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=jars",
            "-DincludeScope=runtime",
        ]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise EngineError(
                f"Maven cannot fetch the {server.name} job server of Beam {beam} "
                f"({_last_error(done.stdout + done.stderr)})"
            )
        with contextlib.suppress(OSError):  # another process has just done the same
            os.rename(Path(work) / "jars", folder)


def _download_single_jar(server: JobServer) -> Path:
    from apache_beam.utils.subprocess_server import JavaJarServer

    try:
        url = JavaJarServer.path_to_beam_jar(server.gradle_target)
        return Path(JavaJarServer.local_jar(url))
    except Exception as error:
        raise EngineError(
            f"no job server for {server.name}: Maven (mvn) is not installed, and Beam's jar cannot be downloaded "
            f"({' '.join(str(error).split())}); install Maven, or pass a jar with --job-server"
        ) from error


def _last_error(output: str) -> str:
    lines = [line for line in output.splitlines() if "ERROR" in line] or output.splitlines() or ["no message"]
    return " ".join(lines[0].split())[:300]


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if java is None:
        raise EngineError("Spark and Flink need Java (tested with 17), and no `java` was found; install it")
    return java


def _end_with_this_process() -> list[str]:
    """What stands before a command so that Linux ends it when this process ends, be it by kill -9.

    A job server that lives on works at a run that has been started anew, and holds the cluster's cores.
    """
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def _add_opens() -> list[str]:
    return [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED_PACKAGES]


def _main_class(server: JobServer, jars: list[Path]) -> list[str]:
    if len(jars) == 1:
        return ["-jar", str(jars[0])]
    # In this order, the job server's versions of libraries take precedence over Spark's.
    folders = [jars[0].parent, *([spark_jars()] if server is SPARK else [])]
    return ["-cp", os.pathsep.join(f"{folder}/*" for folder in folders), server.driver]


def spark_jars() -> Path:
    """The jars of the installed Spark: in SPARK_HOME, else in the package pyspark."""
    home = os.environ.get("SPARK_HOME")
    package = importlib.util.find_spec("pyspark")
    places = [Path(home)] if home else [Path(path) for path in (package and package.submodule_search_locations) or ()]
    for place in places:
        if (place / "jars").is_dir():
            return place / "jars"
    raise EngineError(
        "the Spark job server needs Spark's own jars in the cluster's version (tested with 3.5): set SPARK_HOME, or "
        "`pip install 'pyspark==3.5.*'`"
    )


@contextmanager
def _run_process(command: list[str], sink: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        with cleanup_at_stop(lambda *_: process.terminate()):
            yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    tail = " | ".join(output.read_text(errors="replace").split("\n")[-4:])
    raise EngineError(f"the job server does not start; its log ends: {tail.strip(' |')[-600:] or '(empty)'}")


def _is_address(given: str) -> bool:
    host, _, port = given.rpartition(":")
    return bool(host) and port.isdigit() and not os.path.exists(given)
