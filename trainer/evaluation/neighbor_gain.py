"""What retrieved neighbors are worth: bits per byte with and without them, by how much of the answer they hold.

A neighbor may hold the very text that is to be predicted. Then its gain is that of a copy, and says nothing of what the
model has learned to read (Borgeaud et al. 2022, section 2.6). So the gain is given for the chunks whose text overlaps
with their neighbors by at most so many 8-grams as well: the first row is the gain without any such leakage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from trainer.data.batches import PADDING, BatchSource
from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError
from trainer.model.decoder import Decoder
from trainer.retrieval.neighbors import GRAM, NeighborFinder, list_grams, share_of_grams

LIMITS = (0.0, 0.125, 0.5, 1.0)  # shares of a chunk's 8-grams


class NeighborGain(NamedTuple):
    """Losses of the chunks of which at most this share of 8-grams stands in their neighbors; None for all text."""

    max_overlap: float | None
    tokens: int
    bytes: int
    bits_per_byte: float
    bits_per_byte_without: float

    @property
    def gain(self) -> float:
        """Bits per byte that the neighbors save."""
        return self.bits_per_byte_without - self.bits_per_byte


class MeasuredTokens(NamedTuple):
    """Every counted target: parallel arrays [tokens]."""

    nats: NDArray[np.float64]
    nats_without: NDArray[np.float64]
    bytes: NDArray[np.int64]
    overlap: NDArray[np.float64]  # of the target's chunk with its neighbors; NaN where it reads none


@torch.inference_mode()
def measure_tokens(
    model: Decoder, source: BatchSource, finder: NeighborFinder, tokenizer: Tokenizer, batches: int, *, progress: bool
) -> MeasuredTokens:
    """The counted targets of the first batches of held-out text."""
    sizes = count_token_bytes(tokenizer)
    steps = tqdm(range(batches), desc="measure", disable=None if progress else True)
    parts = [_measure_batch(model, source, finder, sizes, step) for step in steps]
    return MeasuredTokens(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def measure_gain(
    model: Decoder, source: BatchSource, finder: NeighborFinder, tokenizer: Tokenizer, batches: int, *, progress: bool
) -> list[NeighborGain]:
    """The gain on the first batches of held-out text: of all of it, then of the chunks of at most each overlap."""
    found = measure_tokens(model, source, finder, tokenizer, batches, progress=progress)
    if not found.bytes.sum():
        raise UserError("no held-out text to measure neighbors on; raise data.held_out")
    reading = ~np.isnan(found.overlap)
    kept = [(None, np.ones_like(reading)), *((limit, reading & (found.overlap <= limit)) for limit in LIMITS)]
    return [_sum_up(limit, found, chosen) for limit, chosen in kept if found.bytes[chosen].sum()]


def _sum_up(limit: float | None, found: MeasuredTokens, chosen: NDArray[np.bool_]) -> NeighborGain:
    size = int(found.bytes[chosen].sum())
    with_and_without = (float(nats[chosen].sum()) / size / math.log(2) for nats in found[:2])
    return NeighborGain(limit, int(chosen.sum()), size, *with_and_without)


def _measure_batch(
    model: Decoder, source: BatchSource, finder: NeighborFinder, sizes: NDArray[np.int64], step: int
) -> MeasuredTokens:
    batch, documents = source.batch(step), source.token_documents(step)
    neighbors = finder.find_for_rows(batch.inputs, documents, source.corpus)
    device = model.embedding.weight.device
    given = {name: tensor.to(device) for name, tensor in vars(batch.to(device)).items() if name != "loss_mask"}
    arguments = {"tokens": given.pop("inputs"), **given}
    with_neighbors = model(**arguments, neighbors=neighbors.to(device)).token_losses
    without = model(**arguments).token_losses
    counted = batch.loss_mask.numpy()
    overlap = find_overlaps(batch.targets, documents, neighbors, finder.settings.chunk_tokens)
    columns = with_neighbors.double().cpu().numpy(), without.double().cpu().numpy(), sizes[batch.targets.numpy()]
    return MeasuredTokens(*(column[counted] for column in (*columns, overlap)))


def find_overlaps(targets: Tensor, documents: NDArray[np.int64], neighbors: Tensor, size: int) -> NDArray[np.float64]:
    """[B, S]: the share of 8-grams of a target's chunk that its neighbors have; NaN for targets that read none.

    targets int64 [B, S]; documents int64 [B, S]; neighbors int64 [B, U, K, R].
    """
    found = np.full(targets.shape, np.nan)
    for row, chunk, places in _reading_places(documents, neighbors, size):
        grams = {gram for text in neighbors[row, chunk].tolist() for gram in list_grams(_strip(text))}
        wanted = targets[row].numpy()[places]
        found[row, places] = share_of_grams(wanted, grams) if len(wanted) >= GRAM else 0.0
    return found


def _reading_places(
    documents: NDArray[np.int64], neighbors: Tensor, size: int
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """(row, chunk, places that read its neighbors), as in `trainer.model.retro`."""
    for row, chunk in np.ndindex(*neighbors.shape[:2]):
        if (neighbors[row, chunk] < 0).all():
            continue
        first = (chunk + 1) * size - 1
        places = np.arange(first, min(first + size, documents.shape[1]))
        yield row, chunk, places[documents[row, places] == documents[row, first]]


def _strip(tokens: Sequence[int]) -> list[int]:
    return [token for token in tokens if token != PADDING]


def count_token_bytes(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Bytes of text of every id of a byte-level vocabulary; 0 for control tokens."""
    sizes = np.zeros(tokenizer.vocab_size, np.int64)
    for number in range(tokenizer.vocab_size):
        token = tokenizer.engine.id_to_token(number) or ""
        sizes[number] = len(token.encode()) if token in tokenizer.placeholders else len(token)
    sizes[list(tokenizer.control.values())] = 0
    return sizes


def format_gains(gains: Sequence[NeighborGain]) -> str:
    """A table for a terminal."""
    rows = [f"{'8-grams in neighbors':<24}{'tokens':>10}{'with':>9}{'without':>9}{'gain':>9}   bits per byte"]
    for gain in gains:
        name = "all text" if gain.max_overlap is None else f"at most {gain.max_overlap:.1%}"
        numbers = f"{gain.bits_per_byte:>9.4f}{gain.bits_per_byte_without:>9.4f}{gain.gain:>9.4f}"
        rows.append(f"{name:<24}{gain.tokens:>10,}{numbers}")
    return "\n".join(rows)
