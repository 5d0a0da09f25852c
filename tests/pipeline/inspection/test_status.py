"""`gristmill status`: phase, progress, and whether the process of a run is alive, dead or slow."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.inspection import status
from pipeline.inspection.finished_units import StoredTally, write_unit_sizes
from pipeline.inspection.status import State, read_status
from pipeline.ledger import Tally
from pipeline.storage.layout import Layout, write_json
from pipeline.storage.lease import hold_lease
from tests.conftest import Command


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A run of two units of which nothing is done."""
    monkeypatch.setattr(status, "STATUS_SECONDS", 0.01)
    found = Layout(str(tmp_path), "key")
    write_json(found.run, {"identity": {}, "work": "key"})
    write_unit_sizes(found, {"a": 100, "b": 100})
    return found


def finish(layout: Layout, key: str) -> None:
    write_json(layout.unit("tally", key), StoredTally(Tally(pages=10), {}).to_json())


def beat(layout: Layout, seconds_ago: float) -> None:
    path = layout.unit("running", "b")
    write_json(path, {"seconds": 2, "pages": 5, "errors": 0, "bytes": 50})
    os.utime(path, (time.time() - seconds_ago,) * 2)


def own(layout: Layout, beat_seconds: float) -> None:
    now = time.time()
    values = {"host": "there", "pid": 7, "token": "t", "beat": now - beat_seconds, "expires": now - beat_seconds + 300}
    Path(layout.lease).write_text(json.dumps(values))


def test_a_finished_run_is_complete(curated_minicrawl: Path, gristmill: Command) -> None:
    found = read_status(str(curated_minicrawl))
    assert found.state is State.COMPLETE
    assert found.describe().startswith("complete: ")
    assert json.loads(gristmill("status", curated_minicrawl, "--json").stdout)["state"] == "complete"


def test_where_there_is_no_run_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run\.json;"):
        read_status(str(tmp_path))


def test_the_phase_of_an_unfinished_run_is_read_from_its_files(layout: Layout) -> None:
    Path(layout.unit_table).rename(layout.unit_table + "x")
    assert read_status(layout.root).phase == "starting"
    Path(layout.unit_table + "x").rename(layout.unit_table)
    finish(layout, "a")
    assert read_status(layout.root).describe().startswith("prepare: units 1/2, 50% of the input, 10 pages")
    finish(layout, "b")
    assert read_status(layout.root).phase == "deduplicate"
    write_json(f"{layout.work}/verdicts-x/summary.json", {})
    assert read_status(layout.root).phase == "count words"
    write_json(f"{layout.folder('published')}/x/00000.json", {})
    assert read_status(layout.root).describe().startswith("publish: 1 parts written\nstopped; the same command resumes")


@pytest.mark.parametrize(
    ("owner_beat", "unit_beat", "state"),
    [
        (10, 1, State.RUNNING),
        (10, None, State.RUNNING),
        (90, 130, State.SLOW),
        (150, 1, State.DEAD),
        (400, 400, State.DEAD),
        (None, 1, State.RUNNING),  # on a cluster, without its launcher
        (None, 500, State.STOPPED),
        (None, None, State.STOPPED),
    ],
)
def test_heartbeats_tell_dead_from_slow(
    layout: Layout, owner_beat: float | None, unit_beat: float | None, state: State
) -> None:
    if owner_beat is not None:
        own(layout, owner_beat)
    if unit_beat is not None:
        beat(layout, unit_beat)
    found = read_status(layout.root)
    assert found.state is state
    values = json.loads(json.dumps(found.to_json()))
    assert values["state"] == state.value
    assert values["owner"] == (None if owner_beat is None else "there (process 7)")
    for name, seconds in (("owner_beat_seconds", owner_beat), ("unit_beat_seconds", unit_beat)):
        assert values[name] == (None if seconds is None else pytest.approx(seconds, abs=60))
    assert values["progress"]["units"] == 2
    assert ("the same command resumes it" in found.describe()) == (state in (State.DEAD, State.STOPPED))


def test_a_process_of_this_machine_that_holds_the_lease_is_running(layout: Layout) -> None:
    with hold_lease(layout.lease):
        assert read_status(layout.root).state is State.RUNNING


def test_a_damaged_lease_does_not_hide_the_status(layout: Layout) -> None:
    Path(layout.lease).write_bytes(b"{")
    assert "an unknown process" in read_status(layout.root).describe()
