"""metrics: rows after the checkpoint are removed on resume; a kill meanwhile loses no row."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.training.metrics import MetricsLog, read_metrics


def write_rows(folder: Path, steps: range, resumed_at: int = 0) -> None:
    with MetricsLog(folder, resumed_at) as log:
        for step in steps:
            log.write({"step": step, "loss": 1.0 / step})


def test_each_step_has_one_row(tmp_path: Path) -> None:
    write_rows(tmp_path, range(1, 8))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # cut off by a kill
    write_rows(tmp_path, range(6, 10), resumed_at=5)
    assert [row["step"] for row in read_metrics(tmp_path)] == list(range(1, 10))


@pytest.mark.parametrize("call", ["write_bytes", "replace"])
def test_a_failure_while_rows_are_removed_keeps_the_old_ones(tmp_path: Path, call: str, monkeypatch) -> None:
    write_rows(tmp_path, range(1, 8))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, call, full)
    with pytest.raises(OSError, match="No space left"):
        MetricsLog(tmp_path, 5)
    monkeypatch.undo()
    assert [row["step"] for row in read_metrics(tmp_path)] == list(range(1, 8))
