"""metrics.jsonl: one row per step. On resume, rows after the checkpoint are removed, so that each step has one row."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from trainer.files import explain_writes, write_atomically


class MetricsLog:
    """Appends rows to metrics.jsonl, and with `tensorboard` their numbers to TensorBoard."""

    def __init__(self, folder: Path, step: int, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [row for row in read_metrics(folder) if row["step"] <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))  # a kill must not lose the rows
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _open_tensorboard(folder) if tensorboard else None

    def write(self, row: dict[str, Any]) -> None:
        """Append one row and flush it."""
        with explain_writes(self.path):
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()
        if self.board is not None:
            for name, value in _flatten(row):
                self.board.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        """Wait until all rows are on the disk: after a power failure none is missing before the newest checkpoint."""
        with explain_writes(self.path):
            os.fsync(self.file.fileno())

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with explain_writes(self.path):  # a row that could not be written is tried again here
            self.file.close()
        if self.board is not None:
            self.board.close()


def _open_tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and optional

    return SummaryWriter(str(folder / "tensorboard"))


def _flatten(row: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Numbers of nested dictionaries by path: `domains/science`."""
    values = []
    for name, value in row.items():
        if isinstance(value, dict):
            values += _flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            values.append((f"{prefix}{name}", float(value)))
    return values


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run, without a last line cut off by a kill."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
