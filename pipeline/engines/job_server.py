"""Beam's job server for Spark and Flink: its jars, and the Java process that runs them while a job lasts.

A job server translates a Beam pipeline into Spark's or Flink's own terms; it is also Spark's driver. Beam publishes it
as one jar, but the version that we have proven is put together by Maven from its published parts, once, in a folder of
the user's cache. Without Maven, Beam's own jar of the installed Beam is fetched. `--job-server` names a jar, a folder
of jars or the address of a server that runs already, and nothing is fetched.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger("gristmill")

BEAM_JAVA = "2.62.0"  # proven with the Python side that pyproject.toml pins: tests/engines
START_SECONDS = 120.0
# What Spark and Flink reach into under Java 17; the lists of their own launchers.
_OPENED = (
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


class EngineError(ValueError):
    """An engine cannot be started: what is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One job server: its parts and how it is called."""

    name: str
    artifact: str
    driver: str
    gradle_target: str  # by which Beam names its own jar


SPARK = Kind(
    "spark",
    "beam-runners-spark-3",
    "org.apache.beam.runners.spark.SparkJobServerDriver",
    ":runners:spark:3:job-server:shadowJar",
)
FLINK = Kind(
    "flink",
    "beam-runners-flink-1.19",
    "org.apache.beam.runners.flink.FlinkJobServerDriver",
    ":runners:flink:1.19:job-server:shadowJar",
)


@contextmanager
def running(kind: Kind, given: str | None, arguments: Sequence[str], properties: Sequence[str]) -> Iterator[str]:
    """HOST:PORT of a job server while the block runs. `properties` are Java's, NAME=VALUE."""
    if given and _is_address(given):
        if properties:
            raise EngineError(
                f"--spark-conf cannot reach the job server at {given}; start that server with -D{properties[0]}"
            )
        yield given
        return
    jars = find_jars(kind, given)
    job, artifact = free_ports(2)
    ports = ["--job-port", str(job), "--artifact-port", str(artifact), "--expansion-port", "0"]
    with tempfile.TemporaryDirectory(prefix="gristmill-jobs-") as folder, _kept_if_it_fails(kind) as output:
        command = [_java(), *(f"-D{each}" for each in properties), *_add_opens(), *_entry(kind, jars)]
        command += [*ports, "--artifacts-dir", folder, *arguments]
        with output.open("wb") as sink, _process(command, sink) as process:
            _wait(process, job, output)
            yield f"localhost:{job}"


@contextmanager
def _kept_if_it_fails(kind: Kind) -> Iterator[Path]:
    """A file for the server's log, which is worth reading only when something went wrong."""
    handle, name = tempfile.mkstemp(prefix=f"gristmill-{kind.name}-", suffix=".log")
    os.close(handle)
    try:
        yield Path(name)
    except EngineError:
        os.unlink(name)  # its message says it all
        raise
    except Exception:
        log.error("the log of the %s job server is %s", kind.name, name)
        raise
    os.unlink(name)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def find_jars(kind: Kind, given: str | None = None) -> list[Path]:
    """The jars of the job server: as given, as assembled before, by Maven now, or Beam's own single jar."""
    if given:
        return _given_jars(Path(given).expanduser())
    folder = cache_folder() / f"{kind.artifact}-{BEAM_JAVA}"
    if not folder.is_dir():
        if shutil.which("mvn"):
            _assemble(kind, folder)
        else:
            return [_beams_own(kind)]
    return sorted(folder.glob("*.jar"))


def cache_folder() -> Path:
    """Where job servers are kept: GRISTMILL_CACHE, else the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gristmill"
    return Path(os.environ.get("GRISTMILL_CACHE") or default) / "jobservers"


def _given_jars(path: Path) -> list[Path]:
    jars = sorted(path.glob("*.jar")) if path.is_dir() else [path] if path.is_file() else []
    if not jars:
        raise EngineError(f"--job-server {path}: neither a jar, a folder of jars nor HOST:PORT of a running server")
    return jars


def _assemble(kind: Kind, folder: Path) -> None:
    log.info("fetching the %s job server of Beam %s by Maven into %s (once)", kind.name, BEAM_JAVA, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as work:
        (Path(work) / "pom.xml").write_text(_POM.format(artifact=kind.artifact, version=BEAM_JAVA))
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
                f"Maven cannot fetch the {kind.name} job server ({_last_error(done.stdout + done.stderr)}); "
                f"name its jar with --job-server"
            )
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(Path(work) / "jars", folder)


def _beams_own(kind: Kind) -> Path:
    from apache_beam.utils.subprocess_server import JavaJarServer

    try:
        url = JavaJarServer.path_to_beam_jar(kind.gradle_target)
        return Path(JavaJarServer.local_jar(url))
    except Exception as error:
        raise EngineError(
            f"no job server for {kind.name}: Maven (mvn) is not installed, and Beam's own jar cannot be fetched "
            f"({' '.join(str(error).split())}); install Maven, or name a jar with --job-server"
        ) from error


def _last_error(output: str) -> str:
    lines = [line for line in output.splitlines() if "ERROR" in line] or output.splitlines() or ["no message"]
    return " ".join(lines[0].split())[:300]


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if java is None:
        raise EngineError("Spark and Flink need Java (17 is proven) and there is no `java` here; install it")
    return java


def _add_opens() -> list[str]:
    return [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]


def _entry(kind: Kind, jars: list[Path]) -> list[str]:
    if len(jars) == 1:
        return ["-jar", str(jars[0])]
    folders = [
        jars[0].parent,
        *([spark_jars()] if kind is SPARK else []),
    ]  # Beam's before Spark's versions of libraries
    return ["-cp", os.pathsep.join(f"{folder}/*" for folder in folders), kind.driver]


def spark_jars() -> Path:
    """The jars of the Spark that is installed here: SPARK_HOME, else the package pyspark."""
    home = os.environ.get("SPARK_HOME")
    package = importlib.util.find_spec("pyspark")
    places = [Path(home)] if home else [Path(path) for path in (package and package.submodule_search_locations) or ()]
    for place in places:
        if (place / "jars").is_dir():
            return place / "jars"
    raise EngineError(
        "the Spark job server needs Spark's own jars in the cluster's version (3.5 is proven): set SPARK_HOME, or "
        "`pip install 'pyspark==3.5.*'`"
    )


@contextmanager
def _process(command: list[str], sink: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    tail = " | ".join(output.read_text(errors="replace").split("\n")[-4:])
    raise EngineError(f"the job server does not start; it says: {tail.strip(' |')[-600:] or 'nothing'}")


def _is_address(given: str) -> bool:
    host, _, port = given.rpartition(":")
    return bool(host) and port.isdigit() and not os.path.exists(given)
