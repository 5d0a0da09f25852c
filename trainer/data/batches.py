"""batch(step): the rows of one optimizer step, as a pure function of (seed, step, configuration).

The mixture's passes, laid end to end, are one endless stream of tokens, cut into rows of `sequence` tokens without a
gap and without padding; the rows of a pass are shuffled, so that the pieces of a long document meet in different
batches. Step s takes rows [s * rows, (s + 1) * rows) and rank r its equal part of them: nothing is carried from batch
to batch, so a run resumes at any step, on any number of ranks, and sees the same tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.corpus import Corpus, DocumentRef
from trainer.data.mixture import Mixture, SourceShare
from trainer.settings import Settings


class BatchSettings(Settings):
    """How the stream is cut."""

    batch_size: int = 32  # of one step, over all ranks
    sequence_length: int = 512  # tokens of a row
    seed: int = 0
    document_mask: bool = True  # attention stays inside a document, and positions restart with it
    max_repetitions: int | None = (
        4  # up to 4 repetitions are worth nearly as much as new text (Muennighoff et al. 2023)
    )
    first_sequence: int = 0  # rows of the stream to pass over: a later stage goes on where the one before ended


@dataclass(frozen=True)
class Batch:
    """One rank's rows of one step; all tensors have the shape [rows, sequence]."""

    inputs: Tensor  # int64
    targets: Tensor  # int64: the token after each input
    document_ids: Tensor  # int32: 0, 1, ... in order of appearance in the row; all 0 without a document mask
    positions: (
        Tensor  # int64: distance from the document's first token in this row (from the row's start without a mask)
    )
    loss_mask: Tensor  # bool: targets that count

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()})

    def split(self, rows: int) -> list[Batch]:
        """Micro-batches of at most so many rows."""
        parts = [tensor.split(rows) for tensor in vars(self).values()]
        return [Batch(*group) for group in zip(*parts, strict=True)]


class BatchSource:
    """Batches of a corpus; holds no position."""

    def __init__(self, corpus: Corpus, settings: BatchSettings, shares: dict[str, float] | None = None) -> None:
        self.corpus = corpus
        self.settings = settings
        self.mixture = Mixture(corpus, shares, settings.seed, settings.max_repetitions)
        self._row_order = lru_cache(maxsize=2)(self._shuffled_rows)

    @property
    def fingerprint(self) -> str:
        """Changes when any batch might: a checkpoint keeps it, and a run on other data refuses to resume."""
        plan = {"corpus": self.corpus.fingerprint, "due": sha256(self.mixture.due.tobytes()).hexdigest()}
        plan |= self.settings.model_dump(mode="json", include=set(BatchSettings.model_fields))
        return sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The rows of a step that a rank of `world` ranks reads."""
        rows = self._rows(step, rank, world)
        # The one token after the very last of capped data does not exist; there the next document would begin.
        tokens = np.full((len(rows), self.settings.sequence_length + 1), self.corpus.separator, dtype=np.int64)
        ids = np.zeros((len(rows), self.settings.sequence_length), dtype=np.int32)
        positions = np.tile(np.arange(self.settings.sequence_length), (len(rows), 1))
        for index, row in enumerate(rows):
            self._fill(int(row), tokens[index], ids[index], positions[index])
        return Batch(
            inputs=torch.from_numpy(tokens[:, :-1].copy()),
            targets=torch.from_numpy(tokens[:, 1:].copy()),
            document_ids=torch.from_numpy(ids),
            positions=torch.from_numpy(positions),
            loss_mask=torch.ones(ids.shape, dtype=torch.bool),
        )

    def documents(self, step: int, rank: int = 0, world: int = 1) -> list[DocumentRef]:
        """The documents whose tokens are inputs of a step, in the order of the rows, each once."""
        pieces = [
            piece
            for row in self._rows(step, rank, world)
            for piece in self._pieces(int(row), self.settings.sequence_length)
        ]
        return [self.corpus.describe(index) for index in dict.fromkeys(document for document, _, _ in pieces)]

    def token_documents(self, step: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        """The corpus's document of every input token, int64 [rows, sequence]."""
        rows = []
        for row in self._rows(step, rank, world):
            pieces = self._pieces(int(row), self.settings.sequence_length)
            rows.append(np.repeat([document for document, _, _ in pieces], [count for _, _, count in pieces]))
        return np.stack(rows)

    def shares(self, steps: int) -> list[SourceShare]:
        """The mixture asked beside the one that so many steps read. Refuses more steps than there is data for."""
        rows = self.settings.first_sequence + steps * self.settings.batch_size
        read = self._tokens_read(rows) - self._tokens_read(self.settings.first_sequence)
        return self.mixture.table(read)

    def _tokens_read(self, rows: int) -> NDArray[np.float64]:
        """Tokens of each document among the first rows read (but for a row's worth where passes meet)."""
        if rows == 0:
            return np.zeros(len(self.corpus))
        sequence = self.settings.sequence_length
        number = self.mixture.pass_of(rows * sequence - 1)
        reading = self.mixture.read_pass(number)
        first, order = self._row_order(number)
        chosen = np.zeros(len(order) + 1)
        chosen[order[: rows - first]] = 1
        before = np.concatenate([[0], np.cumsum(chosen)]) * sequence  # tokens read below each row of the pass

        def below(offsets: NDArray[np.int64]) -> NDArray[np.float64]:
            row, rest = np.divmod(offsets + (reading.first - first * sequence), sequence)
            counts: NDArray[np.float64] = before[row] + rest * chosen[row]
            return counts

        lengths = self.corpus.length[reading.order]
        now = below(reading.ends) - below(reading.ends - lengths)
        whole = (self.mixture.seen(number) * self.corpus.length).astype(np.float64)
        read: NDArray[np.float64] = whole + np.bincount(reading.order, weights=now, minlength=len(self.corpus))
        return read

    def _rows(self, step: int, rank: int, world: int) -> NDArray[np.int64]:
        """Row numbers in the stream, after the shuffle, of one rank's part of a step."""
        if self.settings.batch_size % world:
            raise ValueError(
                f"data.batch_size = {self.settings.batch_size} cannot be divided evenly among {world} ranks"
            )
        share = self.settings.batch_size // world
        first = self.settings.first_sequence + step * self.settings.batch_size + rank * share
        return np.array([self._shuffled(row) for row in range(first, first + share)], dtype=np.int64)

    def _shuffled(self, row: int) -> int:
        """The stream's row that is read as number `row`."""
        number = self.mixture.pass_of((row + 1) * self.settings.sequence_length - 1)
        first, order = self._row_order(number)
        return int(first + order[row - first])

    def _shuffled_rows(self, number: int) -> tuple[int, NDArray[np.int64]]:
        """The rows that end in a pass: the first of them, and a permutation of their offsets from it."""
        sequence = self.settings.sequence_length
        first = self.mixture.first_token(number) // sequence
        after = self.mixture.first_token(number + 1) // sequence
        generator = np.random.Generator(np.random.PCG64([self.settings.seed, number, 1]))
        return first, generator.permutation(after - first)

    def _pieces(self, row: int, count: int) -> list[tuple[int, int, int]]:
        """(document, first token in it, tokens) of `count` tokens of the stream from a row's start."""
        position = row * self.settings.sequence_length
        pieces = []
        while count and position < self.mixture.available:
            reading = self.mixture.read_pass(self.mixture.pass_of(position))
            offset = position - reading.first
            place = int(np.searchsorted(reading.ends, offset, side="right"))
            while count and place < len(reading.order):
                document = int(reading.order[place])
                taken = min(count, int(reading.ends[place]) - offset)
                pieces.append(
                    (document, int(self.corpus.length[document]) - (int(reading.ends[place]) - offset), taken)
                )
                count, offset, position, place = count - taken, offset + taken, position + taken, place + 1
        return pieces

    def _fill(self, row: int, tokens: NDArray[np.int64], ids: NDArray[np.int32], positions: NDArray[np.int64]) -> None:
        """Write one row: its tokens and the one after, and where documents begin in it."""
        at = 0
        for number, (document, offset, count) in enumerate(self._pieces(row, len(tokens))):
            tokens[at : at + count] = self.corpus.document(document)[offset : offset + count]
            if self.settings.document_mask:
                ids[at : at + count] = number
                positions[at : at + count] = np.arange(len(positions[at : at + count]))
            at += count
