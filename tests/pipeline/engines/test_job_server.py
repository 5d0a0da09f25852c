"""Start a job server; errors of one line if something is missing."""

from __future__ import annotations

import re
import stat
from importlib.metadata import version

import pytest

from pipeline.engines import job_server
from pipeline.engines.options import EngineError


def test_a_missing_java_is_named(monkeypatch, tmp_path):
    jar = tmp_path / "server.jar"
    jar.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with (
        pytest.raises(EngineError, match="need Java"),
        job_server.start(job_server.FLINK, str(jar), [], []),
    ):
        pass


def test_a_job_server_that_exits_shows_the_end_of_its_log(monkeypatch, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no heap today >&2\nexit 1\n")
    java.chmod(java.stat().st_mode | stat.S_IEXEC)
    jar = tmp_path / "server.jar"
    jar.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    server = job_server.start(job_server.FLINK, str(jar), [], [])
    with pytest.raises(EngineError, match="no heap today"), server:
        pass


def test_a_running_job_server_is_used_without_java_or_jars(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # neither Java nor Maven
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    for engine in (job_server.SPARK, job_server.FLINK):
        with job_server.start(engine, "spark-jobs.example:8099", [], []) as endpoint:
            assert endpoint == "spark-jobs.example:8099"
    server = job_server.start(job_server.SPARK, "h:8099", [], ["spark.cores.max=4"])
    with pytest.raises(EngineError, match=r"start that server with -Dspark\.cores\.max=4"), server:
        pass


FAKE_MAVEN = """#!/bin/sh
grep -q "<version>{served}</version>" pom.xml || {{ echo "[ERROR] could not find the parts"; exit 1; }}
mkdir jars && touch jars/runner.jar
"""


@pytest.fixture
def maven(monkeypatch, tmp_path):
    """A Maven that has the job server of one version of Beam."""

    def serve(version):
        (tmp_path / "mvn").write_text(FAKE_MAVEN.format(served=version))
        (tmp_path / "mvn").chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    return serve


def test_the_job_server_is_that_of_the_installed_beam_where_maven_has_it(maven, caplog):
    maven(version("apache-beam"))
    (jar,) = job_server.find_jars(job_server.SPARK)
    assert jar.parent.name == f"beam-runners-spark-3-{version('apache-beam')}"


def test_else_it_is_the_proven_one_and_the_log_says_why(maven, caplog):
    caplog.set_level("INFO")
    maven(job_server.PROVEN_BEAM)
    (jar,) = job_server.find_jars(job_server.SPARK)
    assert jar.parent.name == f"beam-runners-spark-3-{job_server.PROVEN_BEAM}"
    (line,) = [each for each in caplog.messages if "is tried" in each]
    assert re.search(rf"Beam {version('apache-beam')} .*could not find the parts.*{job_server.PROVEN_BEAM} is", line)
    maven("none")
    caplog.clear()
    assert job_server.find_jars(job_server.SPARK) == [jar], "from the cache"
    assert re.search(rf"that of Beam {job_server.PROVEN_BEAM}, .*could not find the parts", caplog.messages[-1])


def test_a_failing_maven_is_one_line_and_leaves_no_partial_folder(maven, tmp_path):
    maven("none")
    with pytest.raises(EngineError, match=r"Maven cannot fetch .*could not find the parts.*--job-server"):
        job_server.find_jars(job_server.SPARK)
    assert list((tmp_path / "cache").rglob("*.jar")) == []
    assert [path.name for path in (tmp_path / "cache/jobservers").iterdir()] == []
