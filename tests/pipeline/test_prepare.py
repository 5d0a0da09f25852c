"""When a unit counts as finished."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import curate, storage
from pipeline.config import Config
from pipeline.errors import RunFailedError
from pipeline.ledger import Tally
from pipeline.prepare import UnitRows, read_finished_tally, write_unit
from pipeline.reading.inputs import resolve_inputs
from pipeline.storage import retries
from pipeline.storage.layout import Layout
from tests.conftest import MINICRAWL
from tests.minicrawl import kept
from tests.minicrawl.captures import Warc
from tests.pipeline.servers import serve


def test_a_unit_is_finished_when_its_files_have_the_rows_of_its_tally(tmp_path):
    layout = Layout(str(tmp_path), "key")
    assert read_finished_tally("unit", layout) is None
    write_unit("unit", UnitRows(), layout)
    assert read_finished_tally("unit", layout) == Tally()
    Path(layout.unit("drops", "unit")).write_bytes(b"PAR1")
    assert read_finished_tally("unit", layout) is None
    write_unit("unit", UnitRows(tally=Tally(pages=1, kept=1)), layout)  # a tally of other rows
    assert read_finished_tally("unit", layout) is None
    Path(layout.unit("tally", "unit")).write_bytes(b"{}")
    assert read_finished_tally("unit", layout) is None


def test_the_largest_units_come_first(tmp_path, monkeypatch):
    """Of workers that share them, none waits at the end for one that began last."""
    inputs = resolve_inputs([str(MINICRAWL)], prefix=None, limit=None)
    run = curate.plan_run(inputs, Config(prepare={"unit_bytes": 40_000}), str(tmp_path))
    given = []
    monkeypatch.setattr(curate, "map_items", lambda label, task, units, *how: given.extend(units))
    with pytest.raises(RunFailedError, match="is not finished"):
        curate.prepare(run)
    sizes = [unit.size for unit in given]
    assert sizes == sorted(run.sizes.values(), reverse=True)
    assert sizes != list(run.sizes.values())


@pytest.mark.parametrize("kind", ["staged", "drops"])
def test_a_unit_with_a_missing_file_is_not_finished(tmp_path, kind):
    layout = Layout(str(tmp_path), "key")
    write_unit("unit", UnitRows(), layout)
    Path(layout.unit(kind, "unit")).unlink()
    assert read_finished_tally("unit", layout) is None


@pytest.mark.parametrize("kind", ["tally", "staged", "drops"])
def test_a_file_that_cannot_be_read_ends_the_run(tmp_path, kind):
    layout = Layout(str(tmp_path), "key")
    write_unit("unit", UnitRows(), layout)
    Path(layout.unit(kind, "unit")).unlink()
    Path(layout.unit(kind, "unit")).mkdir()  # exists, and reading it is an error of the system
    with pytest.raises(storage.StorageError, match="cannot read it"):
        read_finished_tally("unit", layout)


@pytest.mark.parametrize("failure", [503, "reset"])
def test_a_store_that_stays_unreachable_ends_the_run(tmp_path, monkeypatch, failure):
    layout = Layout(str(tmp_path), "key")
    write_unit("unit", UnitRows(), layout)
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    with serve(tmp_path) as web:
        remote = Layout(web.url, "key")
        assert read_finished_tally("unit", remote) == Tally()
        web.failures = [failure] * 100
        with pytest.raises(storage.StorageError, match="cannot read it"):
            read_finished_tally("unit", remote)


def test_the_log_has_a_date_the_unit_with_its_file_and_slow_pages_by_url(tmp_path):
    Warc("a.warc.gz", [replace(kept.stories()[0], at=1)]).write(tmp_path)
    program = "import pipeline.cli, pipeline.prepare; pipeline.prepare.SLOW_PAGE_SECONDS = 0.0; pipeline.cli.main()"
    command = [sys.executable, "-c", program, "curate", "a.warc.gz", "--output", "out", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    dated = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
    assert re.search(
        dated + r"INFO unit a\.warc\.gz-\S+ of \S*a\.warc\.gz: 1 pages, 1 kept, 0 errors", done.stderr, re.M
    )
    page = re.escape(repr(kept.stories()[0].url))
    assert re.search(dated + rf"WARNING slow page: \d+\.\d s, {page} at byte \d+ of \S*a\.warc\.gz$", done.stderr, re.M)
