"""Encoded conversations as the rows of batches: packed, masked, and a pure function of (seed, step).

An epoch reads every conversation once, in an order of its own. Each goes into the fullest row that has room for it
(best fit), so that little is padding; attention and positions keep conversations apart, so a packed batch has the
gradient of a padded one. No state is carried from step to step.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from trainer.chat.chat_template import Encoded
from trainer.errors import UserError
from trainer.settings import Settings

PADDING = -1  # document id of what is no token


class ChatSettings(Settings):
    """Which conversations are read, and how they are packed."""

    files: tuple[Path, ...] = Field(
        default=(), description="files of conversations, .jsonl, .json or .tsv, plain or with .gz"
    )
    sequence_length: int = Field(default=512, ge=2, description="tokens in a row; a longer conversation is cut there")
    batch_size: int = Field(default=16, ge=1, description="rows in one step, over all ranks")
    packing: bool = Field(
        default=True, description="several conversations in a row where they fit; else one, padded to its end"
    )
    held_out: float = Field(
        default=0.05, ge=0, lt=1, description="share of the prompts that are held out to measure the loss, 0 to 1"
    )
    seed: int = Field(default=0, description="seed of the order of conversations")


Rows = list[list[int]]  # for each row the numbers of its conversations


def pack_rows(lengths: Sequence[int], room: int) -> Rows:
    """Each item in turn goes into the row with the least room that is enough for it, else into a new one.

    >>> pack_rows([6, 5, 4, 3], 10)
    [[0, 2], [1, 3]]
    """
    rows: Rows = []
    free: list[tuple[int, int]] = []  # (room, row) in order
    for item, length in enumerate(lengths):
        place = bisect.bisect_left(free, (length, -1))
        if place == len(free):
            rows.append([item])
            left, row = room - length, len(rows) - 1
        else:
            before, row = free.pop(place)
            rows[row].append(item)
            left = before - length
        bisect.insort(free, (left, row))
    return rows


@dataclass(frozen=True)
class ChatBatches:
    """The batches of a list of conversations, epoch after epoch without an end."""

    items: tuple[Encoded, ...]
    settings: ChatSettings
    first_row: int = 0  # rows to skip, for a run that goes on with another batch size

    def __post_init__(self) -> None:
        if not self.items:
            raise UserError("no conversation to train on; give chat.files, and a smaller chat.held_out")

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any batch might."""
        digest = hashlib.sha256()
        for item in self.items:
            for part in self.parts(item):
                digest.update(part.tokens.tobytes() + part.learned.tobytes() + b"/")
        shape = self.settings.model_dump(mode="json", include={"sequence_length", "packing", "seed"})
        return hashlib.sha256(f"{digest.hexdigest()} {json.dumps(shape)}".encode()).hexdigest()

    @cached_property
    def _epochs(self) -> list[Rows]:
        return []  # those read so far

    def epoch(self, number: int) -> Rows:
        """The rows of an epoch, in the order in which they are read."""
        while len(self._epochs) <= number:
            generator = np.random.Generator(np.random.PCG64([self.settings.seed, len(self._epochs)]))
            order = generator.permutation(len(self.items))
            packed = [[place] for place in range(len(order))]
            if self.settings.packing:
                lengths = [len(self.items[item].tokens) - 1 for item in order]
                packed = pack_rows(lengths, self.settings.sequence_length)
            rows = [[int(order[place]) for place in row] for row in packed]
            self._epochs.append([rows[place] for place in generator.permutation(len(rows))])
        return self._epochs[number]

    def steps(self, epochs: float) -> int:
        """Steps that read the conversations so many times (rounded up to a whole step)."""
        whole, part = divmod(epochs, 1)
        rows = sum(len(self.epoch(number)) for number in range(int(whole)))
        rows += round(part * len(self.epoch(int(whole)))) if part else 0
        return max(1, -(-rows // self.settings.batch_size))

    def rows(self, step: int) -> Rows:
        """The rows of a step, on all ranks."""
        place, number = self.first_row + step * self.settings.batch_size, 0
        while place >= len(self.epoch(number)):
            place -= len(self.epoch(number))
            number += 1
        found: Rows = []
        while len(found) < self.settings.batch_size:
            found += self.epoch(number)[place : place + self.settings.batch_size - len(found)]
            place, number = 0, number + 1
        return found

    def resume_at(self, step: int, next_row: int) -> ChatBatches:
        """The batches whose `step` begins with the row of this number."""
        return replace(self, first_row=next_row - step * self.settings.batch_size)

    def next_row(self, step: int) -> int:
        """The number of the row that a step begins with."""
        return self.first_row + step * self.settings.batch_size

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, torch.Tensor]:
        """This rank's part of a step as the model's arguments."""
        return self.fill(self.rows(step)[self.share(rank, world)])

    def share(self, rank: int, world: int) -> slice:
        """Which rows of a step a rank reads."""
        rows = self.settings.batch_size
        if rows % world:
            raise UserError(f"chat.batch_size = {rows} cannot be divided among {world} ranks; change one of them")
        return slice(rank * rows // world, (rank + 1) * rows // world)

    def all_batches(self) -> list[dict[str, torch.Tensor]]:
        """Every conversation once, for validation; the last batch may be smaller."""
        rows, size = self.epoch(0), self.settings.batch_size
        return [self.fill(rows[begin : begin + size]) for begin in range(0, len(rows), size)]

    def fill(self, rows: Rows) -> dict[str, torch.Tensor]:
        """The rows as the model's arguments."""
        return fill_rows([[self.items[item] for item in row] for row in rows])

    def parts(self, item: Encoded) -> Sequence[Encoded]:
        """The texts of an item."""
        return [item]


def fill_rows(rows: Sequence[Sequence[Encoded]]) -> dict[str, torch.Tensor]:
    """tokens, targets, weights, positions and document_ids, all [rows, longest row]; weights mark learned targets."""
    length = max(sum(len(item.tokens) - 1 for item in row) for row in rows)
    tokens = np.zeros((len(rows), length), np.int64)
    targets, positions = np.zeros_like(tokens), np.zeros_like(tokens)
    weights = np.zeros(tokens.shape, np.bool_)
    ids: NDArray[np.int32] = np.full(tokens.shape, PADDING, np.int32)
    for row, items in enumerate(rows):
        begin = 0
        for number, item in enumerate(items):
            end = begin + len(item.tokens) - 1
            place = (row, slice(begin, end))
            tokens[place], targets[place] = item.tokens[:-1], item.tokens[1:]
            weights[place], ids[place], positions[place] = item.learned[1:], number, np.arange(end - begin)
            begin = end
    arrays = {"tokens": tokens, "targets": targets, "weights": weights, "positions": positions, "document_ids": ids}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def cut_long(item: Encoded, length: int) -> Encoded | None:
    """The item with at most `length` targets, its beginning kept; None if nothing that is left is learned."""
    cut = Encoded(item.tokens[: length + 1], item.learned[: length + 1])
    return cut if cut.learned.any() else None


def is_held_out(prompt: str, share: float) -> bool:
    """Whether a prompt is held out: a function of its text, so that equal prompts are on one side."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
