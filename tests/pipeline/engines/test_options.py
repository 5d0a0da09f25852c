"""Engines without proof, and options of another engine, are refused."""

from __future__ import annotations

import pytest

from pipeline.engines.options import PROVEN, EngineError, EngineOptions, check_options
from tests.conftest import MINICRAWL


@pytest.mark.parametrize("engine", ["dask", "DaskRunner", "samza", "prism", "direct", "spakr"])
def test_an_engine_that_is_not_proven_is_refused_with_the_reason_and_the_way_to_force_it(engine):
    with pytest.raises(EngineError, match=f"--engine {engine} is refused: .*--force-engine"):
        check_options(EngineOptions(engine=engine))


def test_dask_is_refused_because_it_loses_rows():
    with pytest.raises(EngineError, match="loses rows"):
        check_options(EngineOptions(engine="dask"))


@pytest.mark.parametrize("engine", PROVEN)
def test_proven_engines_pass(engine):
    check_options(EngineOptions(engine=engine))


def test_the_command_refuses_an_engine_in_one_line_and_writes_nothing(tmp_path, gristmill):
    done = gristmill("curate", MINICRAWL, "--output", tmp_path / "out", "--engine", "dask", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("gristmill: --engine dask is refused")
    assert not (tmp_path / "out").exists()
