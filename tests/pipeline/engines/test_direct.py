"""A run without Beam: the bytes of Beam's, and no import of Beam."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from pipeline.config import Config
from pipeline.curate import plan_run, run_curation
from pipeline.engines.map_items import map_items
from pipeline.engines.options import DIRECT_OPTIONS, LOCAL_OPTIONS
from pipeline.reading.inputs import resolve_inputs
from tests.conftest import MINICRAWL, ROOT


def test_a_run_without_beam_writes_the_bytes_of_a_run_with_it(tmp_path):
    config = Config.model_validate({"prepare": {"unit_bytes": 40_000}})
    inputs = resolve_inputs([str(MINICRAWL)])

    def curate(options: tuple[str, ...]) -> dict[str, bytes]:
        output = tmp_path / options[0].partition("=")[2]
        run_curation(plan_run(inputs, config, str(output), workers=2, options=options))
        files = [path for path in output.rglob("*") if path.is_file() and path.name[:6] not in ("report", "run.js")]
        files = [path for path in files if path.parent.name != "tally"]  # tallies hold CPU seconds
        return {str(path.relative_to(output)): path.read_bytes() for path in files}

    direct, beam = curate(DIRECT_OPTIONS), curate(LOCAL_OPTIONS)
    assert "manifest.json" in direct
    assert direct.keys() == beam.keys()
    assert [name for name, content in direct.items() if content != beam[name]] == []


def test_the_command_imports_no_beam_for_a_small_input(tmp_path):
    code = "import sys; sys.modules['apache_beam'] = None; from pipeline.cli import main; main()"
    warc = MINICRAWL / "minicrawl-00002.warc.gz"
    command = [sys.executable, "-c", code, "curate", str(warc), "--output", str(tmp_path / "out")]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert (tmp_path / "out" / "manifest.json").exists()


def test_calls_share_resources_and_the_first_error_ends_the_rest():
    opened, closed, seen = [], [], []

    @contextmanager
    def open_resource():
        opened.append(len(opened))
        yield opened[-1]
        closed.append(len(closed))

    def call(item: int, resource: int) -> dict[str, int]:
        seen.append((item, resource))
        if item == 3:
            raise ValueError("item 3")
        if item > 3:
            time.sleep(0.01)  # the caller hears of the error before all are done
        return {}

    map_items("Call", call, range(3), open_resource, DIRECT_OPTIONS, 2)
    assert sorted(item for item, _ in seen) == [0, 1, 2]
    assert {resource for _, resource in seen} <= {0, 1}
    with pytest.raises(ValueError, match="item 3"):
        map_items("Call", call, range(3, 1_000), open_resource, DIRECT_OPTIONS, 1)
    assert len(seen) < 1_000
    assert len(opened) == len(closed) == 3
