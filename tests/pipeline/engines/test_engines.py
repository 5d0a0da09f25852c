"""What is refused before anything starts, and what Beam is told."""

from __future__ import annotations

import json
import stat

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from pipeline.engines import job_server
from pipeline.engines.options import PROVEN, EngineOptions, _environment, open_engine, refuse_unproven
from tests.conftest import MINICRAWL


@pytest.mark.parametrize("engine", ["dask", "DaskRunner", "samza", "prism", "direct", "spakr"])
def test_an_engine_that_is_not_proven_is_refused_with_the_reason_and_the_way_to_force_it(engine):
    with pytest.raises(ValueError, match=f"--engine {engine} is refused: .*--force-engine"):
        refuse_unproven(EngineOptions(engine=engine))


def test_dask_is_refused_for_what_it_does():
    with pytest.raises(ValueError, match="loses rows"):
        refuse_unproven(EngineOptions(engine="dask"))


def test_force_lets_an_unproven_engine_through():
    with open_engine(EngineOptions(engine="BundleBasedDirectRunner", force_engine=True), workers=4) as engine:
        assert engine.options == ("--runner=BundleBasedDirectRunner",)
        assert engine.concurrency == 1


@pytest.mark.parametrize("engine", PROVEN)
def test_proven_engines_pass(engine):
    refuse_unproven(EngineOptions(engine=engine))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (EngineOptions(spark_master="spark://h:7077"), "--spark-master is for --engine spark"),
        (EngineOptions(engine="spark", flink_master="h:1"), "--flink-master is for --engine flink"),
        (EngineOptions(job_server="x.jar"), "--job-server is for"),
        (EngineOptions(engine="spark"), "needs --spark-master"),
        (EngineOptions(engine="flink"), "needs --flink-master"),
        (EngineOptions(engine="spark", spark_master="local", spark_conf=("memory=1g",)), "expected spark.NAME=VALUE"),
        (EngineOptions(engine="spark", spark_master="local", environment="conda"), "expected one of loopback, process"),
        (EngineOptions(engine="spark", spark_master="local", environment="external"), "external=HOST:PORT"),
        (EngineOptions(engine="flink", flink_master="h:1", environment="docker"), "docker=IMAGE"),
        (EngineOptions(engine="flink", flink_master="h:1", job_server="/nowhere.jar"), "/nowhere.jar: neither a jar"),
        (EngineOptions(beam=("runer=X",)), "knows no such option"),
        (EngineOptions(engine="dataflow", beam=("projekt=x",)), "projekt=x: Beam"),
    ],
)
def test_what_cannot_work_is_one_clear_line_before_anything_starts(asked, says):
    with pytest.raises(ValueError, match=says), open_engine(asked, workers=1):
        pass


def test_beams_own_options_pass_through():
    with open_engine(EngineOptions(beam=("direct_num_workers=1",)), workers=3) as engine:
        assert engine.options == ("--runner=FnApiRunner", "--direct_num_workers=1")
        assert engine.concurrency == 3


def test_environments_are_what_beam_reads():
    for kind, expected in {
        "loopback": ("LOOPBACK", None),
        "process=/opt/venv/bin/gristmill-worker": ("PROCESS", '{"command": "/opt/venv/bin/gristmill-worker"}'),
        "external=localhost:50000": ("EXTERNAL", "localhost:50000"),
        "docker=registry/gristmill:1": ("DOCKER", "registry/gristmill:1"),
    }.items():
        options = PipelineOptions(list(_environment(EngineOptions(environment=kind)))).view_as(PortableOptions)
        assert (options.environment_type, options.environment_config) == expected


def test_process_finds_the_worker_of_this_virtual_environment():
    kind, config = _environment(EngineOptions(environment="process"))
    command = json.loads(config.partition("=")[2])["command"]
    assert kind == "--environment_type=PROCESS"
    assert command.endswith("gristmill-worker")


def test_without_java_the_line_says_so(monkeypatch, tmp_path):
    jar = tmp_path / "server.jar"
    jar.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with (
        pytest.raises(job_server.EngineError, match="need Java"),
        job_server.running(job_server.FLINK, str(jar), [], []),
    ):
        pass


def test_a_job_server_that_dies_shows_its_last_words(monkeypatch, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no heap today >&2\nexit 1\n")
    java.chmod(java.stat().st_mode | stat.S_IEXEC)
    jar = tmp_path / "server.jar"
    jar.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    server = job_server.running(job_server.FLINK, str(jar), [], [])
    with pytest.raises(job_server.EngineError, match="no heap today"), server:
        pass


def test_a_job_server_that_runs_elsewhere_is_used_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # neither Java nor Maven
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    for kind in (job_server.SPARK, job_server.FLINK):
        with job_server.running(kind, "spark-jobs.example:8099", [], []) as endpoint:
            assert endpoint == "spark-jobs.example:8099"
    server = job_server.running(job_server.SPARK, "h:8099", [], ["spark.cores.max=4"])
    with pytest.raises(job_server.EngineError, match=r"start that server with -Dspark\.cores\.max=4"), server:
        pass


def test_maven_that_fails_is_one_line_and_leaves_no_half_folder(monkeypatch, tmp_path):
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no route to the registry'\nexit 1\n")
    maven.chmod(maven.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(job_server.EngineError, match=r"no route to the registry.*--job-server"):
        job_server.find_jars(job_server.SPARK)
    assert list((tmp_path / "cache").rglob("*.jar")) == []
    assert not (tmp_path / "cache/job_servers" / f"{job_server.SPARK.artifact}-{job_server.BEAM_JAVA}").exists()


def test_the_command_refuses_in_one_line_and_writes_nothing(tmp_path, gristmill):
    done = gristmill("curate", MINICRAWL, "--output", tmp_path / "out", "--engine", "dask", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("gristmill: --engine dask is refused")
    assert not (tmp_path / "out").exists()
