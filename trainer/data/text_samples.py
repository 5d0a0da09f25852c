"""A weighted sample of a dataset's texts, the same on every machine, to train and evaluate a tokenizer on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from trainer.data.corpus import mix64, uniform
from trainer.data.curated_dataset import Dataset, DatasetError, Shard, fetch_shard, read_rows
from trainer.data.sources import HELD_OUT_SEED

SAMPLE_SEED = 0x53414D50
HELD_OUT = 0.02  # share of the documents that a tokenizer is evaluated on; includes those that models are evaluated on
MIN_HELD_OUT = 50  # documents; a small dataset holds out up to a fifth of its documents to reach it
OVERSAMPLING = 4  # shards are read until they hold this many times the text that is needed; the others are not read
COMPRESSION = 2.5  # bytes of text per byte of zstd-compressed shard, measured on web text


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and how often it was drawn."""

    text: str
    times: int
    domain: str
    language: str
    held_out: bool  # for evaluation, not for training


def draw_samples(dataset: Dataset, size: int, held_out: float) -> Iterator[Sample]:
    """About `size` characters of documents drawn by their weight, and the held-out share of all documents read.

    In expectation a document of weight w is drawn w * factor times; the factor is 1, or less where the dataset holds
    more than `size` characters.
    """
    shards = _choose_shards(dataset, size)
    weighted = sum(_weighted_characters(shard) for shard in shards)
    if not weighted:
        raise DatasetError(f"{dataset.root}: no document has text and a weight above 0; nothing to sample")
    factor = min(1.0, size / weighted)
    for shard in shards:
        with fetch_shard(shard) as path:
            for batch in read_rows(path, shard.path, ("id", "text", "weight", "domain", "language")):
                rows = batch.to_pylist()
                keys = np.array([xxhash.xxh3_64_intdigest(row["id"].encode()) for row in rows], dtype=np.uint64)
                tested = uniform(keys, HELD_OUT_SEED) < held_out
                counts = count_draws(keys, np.array([row["weight"] for row in rows]), factor)
                for row, count, test in zip(rows, counts.tolist(), tested.tolist(), strict=True):
                    if count or test:
                        yield Sample(row["text"], int(count), row["domain"] or "", row["language"] or "", bool(test))


def count_draws(keys: NDArray[np.uint64], weights: NDArray[np.float64], factor: float) -> NDArray[np.int64]:
    """How often each document is drawn: weight * factor, rounded up or down by the hash of its id."""
    return np.floor(weights * factor + uniform(keys, SAMPLE_SEED)).astype(np.int64)


def _choose_shards(dataset: Dataset, size: int) -> list[Shard]:
    """Shards in a pseudo-random order until they hold several times `size` characters."""
    digests = np.array([int(shard.sha256[:16], 16) for shard in dataset.shards], dtype=np.uint64)
    chosen: list[Shard] = []
    text = 0.0
    for index in np.argsort(mix64(digests, SAMPLE_SEED)):
        if text > OVERSAMPLING * size:
            break
        chosen.append(dataset.shards[int(index)])
        text += chosen[-1].bytes * COMPRESSION
    return chosen


def _weighted_characters(shard: Shard) -> float:
    with fetch_shard(shard) as path:
        batches = read_rows(path, shard.path, ("weight", "characters"))
        return sum(
            float(batch.column("weight").to_numpy().astype(np.float64) @ batch.column("characters").to_numpy())
            for batch in batches
        )


def _held_out_share(dataset: Dataset) -> float:
    return min(0.2, max(HELD_OUT, MIN_HELD_OUT / dataset.rows))


def training_texts(dataset: Dataset, size: int) -> Iterator[str]:
    """Texts to train a tokenizer on: the sample without its held-out documents."""
    for sample in draw_samples(dataset, size, _held_out_share(dataset)):
        if not sample.held_out:
            yield from [sample.text] * sample.times


def held_out_samples(dataset: Dataset, size: int) -> Iterator[Sample]:
    """Texts to evaluate a tokenizer on: the held-out documents, or the whole sample if none is held out."""
    found = 0
    for sample in draw_samples(dataset, size, _held_out_share(dataset)):
        if sample.held_out:
            found += 1
            yield sample
    if not found:
        yield from draw_samples(dataset, size, 0.0)
