"""metrics.jsonl: one row a step, cut back on resume so that a killed run leaves the same rows as an undisturbed one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batches import BatchSource
from trainer.training.distributed import World, sum_over_ranks


class MetricsLog:
    """Appends rows; with `tensorboard` the numbers go there too."""

    def __init__(self, folder: Path, step: int, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [row for row in read_metrics(folder) if row["step"] <= step]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _tensorboard(folder) if tensorboard else None

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; it is in the file when this returns."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in _flat(row):
                self.board.add_scalar(name, value, row["step"])

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()


def _tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and optional

    return SummaryWriter(str(folder / "tensorboard"))


def _flat(row: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Numbers of nested dictionaries by path: `domains/science`."""
    values = []
    for name, value in row.items():
        if isinstance(value, dict):
            values += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            values.append((f"{prefix}{name}", float(value)))
    return values


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run. A last line that a kill cut off is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def domain_losses(
    losses: Tensor, counted: Tensor, documents: NDArray[np.int64], source: BatchSource, world: World
) -> dict[str, list[float]]:
    """{domain: [mean loss in nats, tokens]} over all ranks. losses fp32, counted bool, documents: all [B, S]."""
    names: Sequence[str] = source.corpus.domains
    codes = torch.from_numpy(source.corpus.domain[documents].astype(np.int64)).flatten()
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    weights = counted.flatten().double()
    sums[0].index_add_(0, codes, losses.flatten().double() * weights)
    sums[1].index_add_(0, codes, weights)
    sums = sum_over_ranks(sums.to(world.device), world).cpu()
    return {
        name or "none": [float(total / count), float(count)]
        for name, total, count in zip(names, *sums, strict=True)
        if count and torch.isfinite(total)
    }


def worst_documents(
    losses: Tensor, documents: NDArray[np.int64], source: BatchSource, world: World, most: int = 20
) -> list[dict[str, Any]]:
    """The documents of a step with the highest mean loss on this rank, each with where it came from."""
    unique, places = np.unique(documents.ravel(), return_inverse=True)
    values = losses.flatten().double().numpy()
    sums = np.bincount(places, weights=np.nan_to_num(values, nan=np.inf, posinf=np.inf))
    means = sums / np.bincount(places)
    rows = []
    for index in np.argsort(-means, kind="stable")[:most]:
        found = source.corpus.describe(int(unique[index]))
        mean = float(means[index])
        row = {"id": found.id, "url": found.url, "warc_file": found.warc_file, "warc_offset": found.warc_offset}
        rows.append(row | {"loss": mean if np.isfinite(mean) else None, "rank": world.rank})
    return rows
