"""A weighted sample of a dataset's texts, the same on every machine: what a tokenizer is trained and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from trainer.data.corpus import mix64, uniform
from trainer.data.dataset import Dataset, DatasetError, Shard, fetched, read_rows
from trainer.data.sources import HELD_OUT_SEED

SEED = 0x53414D50
HELD_OUT = 0.02  # share of the documents that a tokenizer is measured on; includes those that models are
LEAST_HELD_OUT = 50  # documents; a small dataset gives up to a fifth for them
SPREAD = 4  # a large dataset is sampled from so many times the text that is needed, not from all of its shards
COMPRESSION = 2.5  # bytes of text to a byte of zstd-compressed shard, measured on web text


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and how often it counts."""

    text: str
    times: int
    domain: str
    language: str
    held_out: bool  # one of those to measure on


def draw(dataset: Dataset, size: int, held_out: float) -> Iterator[Sample]:
    """About `size` characters, documents drawn by their weight, and the held-out share of the documents read besides.

    A document of weight w is taken w times where the dataset has less text than asked for; else all are taken by the
    same factor less often.
    """
    shards = _some_shards(dataset, size)
    weighted = sum(_weighted_characters(shard) for shard in shards)
    if not weighted:
        raise DatasetError(f"{dataset.root}: no document has text and a weight above 0; nothing to sample")
    factor = min(1.0, size / weighted)
    for shard in shards:
        with fetched(shard) as path:
            for batch in read_rows(path, shard.path, ("id", "text", "weight", "domain", "language")):
                rows = batch.to_pylist()
                keys = np.array([xxhash.xxh3_64_intdigest(row["id"].encode()) for row in rows], dtype=np.uint64)
                tested = uniform(keys, HELD_OUT_SEED) < held_out
                counts = times(keys, np.array([row["weight"] for row in rows]), factor)
                for row, count, test in zip(rows, counts.tolist(), tested.tolist(), strict=True):
                    if count or test:
                        yield Sample(row["text"], int(count), row["domain"] or "", row["language"] or "", bool(test))


def times(keys: NDArray[np.uint64], weights: NDArray[np.float64], factor: float) -> NDArray[np.int64]:
    """How often each document is drawn: weight times factor in expectation, never a whole draw off it."""
    return np.floor(weights * factor + uniform(keys, SEED)).astype(np.int64)


def _some_shards(dataset: Dataset, size: int) -> list[Shard]:
    """Shards in an order of their own until they hold several times the text that is asked for."""
    digests = np.array([int(shard.sha256[:16], 16) for shard in dataset.shards], dtype=np.uint64)
    chosen: list[Shard] = []
    for index in np.argsort(mix64(digests, SEED)):
        if sum(shard.bytes for shard in chosen) * COMPRESSION > SPREAD * size:
            break
        chosen.append(dataset.shards[int(index)])
    return chosen


def _weighted_characters(shard: Shard) -> float:
    with fetched(shard) as path:
        batches = read_rows(path, shard.path, ("weight", "characters"))
        return sum(
            float(batch.column("weight").to_numpy().astype(np.float64) @ batch.column("characters").to_numpy())
            for batch in batches
        )


def _share(dataset: Dataset) -> float:
    return min(0.2, max(HELD_OUT, LEAST_HELD_OUT / dataset.rows))


def training_texts(dataset: Dataset, size: int) -> Iterator[str]:
    """What a tokenizer is trained on: the sample without its held-out documents."""
    for sample in draw(dataset, size, _share(dataset)):
        if not sample.held_out:
            yield from [sample.text] * sample.times


def held_out_samples(dataset: Dataset, size: int) -> Iterator[Sample]:
    """What it is measured on. In a small dataset nothing may be held out; then it is the sample itself."""
    found = 0
    for sample in draw(dataset, size, _share(dataset)):
        if sample.held_out:
            found += 1
            yield sample
    if not found:
        yield from draw(dataset, size, 0.0)
