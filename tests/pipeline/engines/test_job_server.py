"""Start a job server; errors of one line if something is missing."""

from __future__ import annotations

import stat

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


def test_a_failing_maven_is_one_line_and_leaves_no_partial_folder(monkeypatch, tmp_path):
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no route to the registry'\nexit 1\n")
    maven.chmod(maven.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EngineError, match=r"no route to the registry.*--job-server"):
        job_server.find_jars(job_server.SPARK)
    assert list((tmp_path / "cache").rglob("*.jar")) == []
    assert not (tmp_path / "cache/job_servers" / f"{job_server.SPARK.artifact}-{job_server.BEAM_JAVA}").exists()
