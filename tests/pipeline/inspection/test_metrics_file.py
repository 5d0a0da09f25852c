"""The metrics file: valid by Prometheus' own parser, and whole at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engines.options import SubmittedError
from pipeline.errors import LockedError, UserError
from pipeline.inspection import metrics_file
from pipeline.inspection.finished_units import StoredTally, write_unit_sizes
from pipeline.inspection.metrics_file import format_metrics, write_metrics
from pipeline.inspection.progress import Progress
from pipeline.inspection.status import State, Status
from pipeline.ledger import Tally
from pipeline.storage.layout import Layout, write_json

parser = pytest.importorskip("prometheus_client.parser")


def parse(text: str) -> dict[tuple[str, str], float]:
    """(metric, state) -> value."""
    samples = (sample for family in parser.text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, sample.labels.get("state", "")): sample.value for sample in samples}


def test_the_text_is_what_prometheus_reads() -> None:
    status = Status(State.RUNNING, "prepare", "", progress=Progress(4, 1, 400, 100, 3000, 3))
    found = parse(format_metrics(status, "running", 1.5))
    assert found["gristmill_state", "running"] == 1
    assert found["gristmill_state", "failed"] == found["gristmill_state", "complete"] == 0
    assert found["gristmill_written_timestamp_seconds", ""] == 1.5
    values = {"units": 4, "units_done": 1, "bytes": 400, "bytes_done": 100, "pages": 3000, "errors": 3}
    assert {name: found[f"gristmill_{name}", ""] for name in values} == values


def test_the_file_follows_the_run(tmp_path: Path) -> None:
    layout, path = Layout(str(tmp_path / "out"), "key"), tmp_path / "run.prom"
    with write_metrics(str(path), layout.root):
        assert parse(path.read_text())["gristmill_state", "running"] == 1
        write_json(layout.run, {"identity": {}, "work": "key"})
        write_unit_sizes(layout, {"a": 100, "b": 100})
        write_json(layout.unit("tally", "a"), StoredTally(Tally(pages=10), {}).to_json())
    found = parse(path.read_text())
    assert found["gristmill_state", "complete"] == 1
    assert (found["gristmill_units_done", ""], found["gristmill_pages", ""]) == (1, 10)
    with pytest.raises(ValueError, match="why"), write_metrics(str(path), layout.root):
        raise ValueError("why")
    assert parse(path.read_text())["gristmill_state", "failed"] == 1
    with pytest.raises(SubmittedError), write_metrics(str(path), layout.root):
        raise SubmittedError("a template")
    found = parse(path.read_text())
    assert (found["gristmill_state", "submitted"], found["gristmill_state", "failed"]) == (1, 0)


@pytest.mark.parametrize("content", ["# my notes\n", "# HELP gristmill_stat", "x"])
def test_a_file_of_others_is_refused_and_unchanged(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.md"
    path.write_text(content)
    with pytest.raises(UserError, match=r"notes\.md: holds something else"), write_metrics(str(path), "out"):
        pytest.fail("the run has begun")
    assert path.read_text() == content


def test_an_empty_file_may_be_there(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    path.touch()
    with write_metrics(str(path), str(tmp_path / "out")):
        pass
    assert parse(path.read_text())["gristmill_state", "complete"] == 1


def block(path: Path) -> None:
    """From now on the file cannot be written."""
    path.unlink(missing_ok=True)
    path.mkdir()


def fail_without(path: Path) -> None:
    block(path)
    raise LockedError("held by another process")


def test_a_file_that_cannot_be_written_changes_no_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, output = tmp_path / "run.prom", str(tmp_path / "out")
    with write_metrics(str(path), output):
        block(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "run.prom" in caplog.text
    path.rmdir()
    with pytest.raises(LockedError), write_metrics(str(path), output):
        fail_without(path)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_output_itself_holds_no_metrics_file(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    with pytest.raises(UserError, match=r"run\.prom: is inside --output"), write_metrics(f"{output}/run.prom", output):
        pass
    assert list(tmp_path.iterdir()) == []


def test_updates_go_on_after_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics_file, "WRITE_SECONDS", 0.01)
    path = tmp_path / "run.prom"
    with write_metrics(str(path), str(tmp_path / "out")):
        block(path)
        wait_for(lambda: caplog.records)
        time.sleep(0.1)
        path.rmdir()
        wait_for(path.is_file)
    assert len(caplog.records) == 1, "one warning for all that failed in a row"
