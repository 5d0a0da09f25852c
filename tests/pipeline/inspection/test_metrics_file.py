"""The metrics file: valid by Prometheus' own parser, and whole at any time."""

from __future__ import annotations

from pathlib import Path

import pytest

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
