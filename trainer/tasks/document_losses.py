"""Losses of a step by domain and by document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batches import PADDING, BatchSource
from trainer.training.distributed import World, sum_over_readers


def domain_losses(
    losses: Tensor, counted: Tensor, documents: NDArray[np.int64], source: BatchSource, world: World
) -> dict[str, list[float]]:
    """{domain: [mean loss in nats, tokens]} over all ranks; losses fp32, counted bool and documents are [B, S]."""
    names: Sequence[str] = source.corpus.domains
    codes = torch.from_numpy(source.corpus.domain[documents].astype(np.int64)).flatten()
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    weights = counted.flatten().double()
    sums[0].index_add_(0, codes, losses.flatten().double() * weights)
    sums[1].index_add_(0, codes, weights)
    sums = sum_over_readers(sums.to(world.device), world).cpu()
    return {
        name or "none": [float(total / count), float(count)]
        for name, total, count in zip(names, *sums, strict=True)
        if count and torch.isfinite(total)
    }


def worst_documents(
    losses: Tensor, documents: NDArray[np.int64], source: BatchSource, world: World, limit: int = 20
) -> list[dict[str, Any]]:
    """The documents of a step with the highest mean loss on this rank, each with its origin."""
    real = documents != PADDING
    unique, places = np.unique(documents[real], return_inverse=True)
    values = losses.double().numpy()[real]
    sums = np.bincount(places, weights=np.nan_to_num(values, nan=np.inf, posinf=np.inf))
    means = sums / np.bincount(places)
    rows = []
    for index in np.argsort(-means, kind="stable")[:limit]:
        found = source.corpus.describe(int(unique[index]))
        mean = float(means[index])
        row = {"id": found.id, "url": found.url, "warc_file": found.warc_file, "warc_offset": found.warc_offset}
        rows.append(row | {"loss": mean if np.isfinite(mean) else None, "rank": world.rank})
    return rows
