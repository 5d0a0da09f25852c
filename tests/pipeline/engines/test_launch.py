"""Unusable options are refused before anything starts; the others become the options of Beam."""

from __future__ import annotations

import pytest

from pipeline.engines.launch import open_engine
from pipeline.engines.options import DIRECT_OPTIONS, LOCAL_OPTIONS, SMALL_INPUT, EngineError, EngineOptions


@pytest.mark.parametrize(
    ("options", "message"),
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
        (EngineOptions(beam=("runer=X",)), "has no such option"),
        (EngineOptions(engine="dataflow", beam=("projekt=x",)), "projekt=x: Beam"),
    ],
)
def test_unusable_options_are_one_clear_line_before_anything_starts(options, message):
    with pytest.raises(EngineError, match=message), open_engine(options, workers=1):
        pass


def test_force_lets_an_unproven_engine_through():
    with open_engine(EngineOptions(engine="BundleBasedDirectRunner", force_engine=True), workers=4) as engine:
        assert engine.options == ("--runner=BundleBasedDirectRunner",)
        assert engine.concurrency == 1


def test_beams_own_options_pass_through():
    with open_engine(EngineOptions(beam=("direct_num_workers=1",)), workers=3) as engine:
        assert engine.options == ("--runner=FnApiRunner", "--direct_num_workers=1")
        assert engine.concurrency == 3


def test_a_small_input_on_this_machine_needs_no_beam():
    for engine, size, expected in (
        ("local", SMALL_INPUT, DIRECT_OPTIONS),
        ("local", SMALL_INPUT + 1, LOCAL_OPTIONS),
        ("beam", 1, LOCAL_OPTIONS),
    ):
        with open_engine(EngineOptions(engine=engine), workers=3, input_bytes=size) as started:
            assert (started.options, started.concurrency) == (expected, 3)
