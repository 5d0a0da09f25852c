"""batch(step): the sequences of one optimizer step, as a pure function of (seed, step, configuration).

The mixture's passes form one endless stream of tokens, which is cut into sequences of `sequence_length` tokens
without gaps or padding; the sequences of a pass are shuffled, so that the pieces of a long document fall into different
batches. Step s takes sequences [s * batch_size, (s + 1) * batch_size) and each rank an equal part of them. No state is
carried from batch to batch, so a run resumes at any step, on any number of ranks, and reads the same tokens. A run
whose batch size changes on the way has a segment for each size, and the next one begins where the last one ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from trainer.data.corpus import Corpus, DocumentRef
from trainer.data.mixture import Mixture, SourceShare
from trainer.errors import UserError
from trainer.settings import Settings


class BatchSettings(Settings):
    """How the token stream is cut into batches. Source of max_repetitions: Muennighoff et al. 2023."""

    batch_size: int = Field(default=32, ge=1, description="sequences in one step, over all ranks")
    sequence_length: int = Field(default=512, ge=1, description="tokens in one sequence")
    seed: int = Field(default=0, description="seed of the order of documents and sequences")
    document_mask: bool = Field(
        default=True, description="restrict attention to one document, and restart positions with each"
    )
    max_repetitions: int | None = Field(
        default=4,
        ge=1,
        description="most times that a run reads a document; up to 4 are nearly as good as new text; off = no limit",
    )
    first_sequence: int = Field(
        default=0, ge=0, description="number of sequences to skip, for a stage that continues where another ended"
    )


@dataclass(frozen=True)
class Batch:
    """One rank's part of one step; all tensors have the shape [sequences, sequence_length]."""

    inputs: Tensor  # int64
    targets: Tensor  # int64: the token after each input
    document_ids: Tensor  # int32: 0, 1, ... in order of appearance in the sequence; all 0 without a document mask
    positions: Tensor  # int64: distance from the document's first token in the sequence; without a mask from its start
    loss_mask: Tensor  # bool: targets that count

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()})

    def split(self, size: int) -> list[Batch]:
        """Micro-batches of at most `size` sequences."""
        parts = [tensor.split(size) for tensor in vars(self).values()]
        return [Batch(*group) for group in zip(*parts, strict=True)]


class Segment(NamedTuple):
    """The steps from `step` on, up to the next segment."""

    step: int
    sequence: int  # the first one that `step` reads
    batch_size: int


class Piece(NamedTuple):
    """A part of a document in a sequence."""

    document: int
    offset: int  # first token in the document
    tokens: int


class BatchSource:
    """Batches of a corpus; holds no position. Caches only what can be computed again."""

    def __init__(
        self,
        corpus: Corpus,
        settings: BatchSettings,
        shares: dict[str, float] | None = None,
        segments: Sequence[Segment] = (),
    ) -> None:
        self.corpus = corpus
        self.settings = settings
        self.segments = tuple(segments) or (Segment(0, settings.first_sequence, settings.batch_size),)
        self._source_shares = shares
        self.mixture = Mixture(corpus, shares, settings.seed, settings.max_repetitions)
        self._sequence_order = lru_cache(maxsize=2)(self._permute_sequences)
        self._step_pieces = lru_cache(maxsize=2)(self._find_step_pieces)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any batch might: a checkpoint stores it, and a run on other data refuses to resume."""
        return self._hash_plan(set(BatchSettings.model_fields))

    @cached_property
    def order(self) -> str:
        """Changes when the order of the sequences might; unlike `fingerprint` not with the batch size."""
        return self._hash_plan(set(BatchSettings.model_fields) - {"batch_size"})

    def _hash_plan(self, fields: set[str]) -> str:
        weights = sha256(self.mixture.reads_per_pass.tobytes()).hexdigest()
        plan = {"corpus": self.corpus.fingerprint, "due": weights}
        plan |= self.settings.model_dump(mode="json", include=fields)
        return sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()

    def with_segments(self, segments: Sequence[Segment]) -> BatchSource:
        """The same sequences, read by these segments."""
        same = tuple(segments) == self.segments
        return self if same else type(self)(self.corpus, self.settings, self._source_shares, segments)

    def sequences(self, step: int) -> range:
        """The numbers of the sequences that a step reads, on all ranks."""
        segment = next(segment for segment in reversed(self.segments) if segment.step <= step)
        first = segment.sequence + (step - segment.step) * segment.batch_size
        return range(first, first + segment.batch_size)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The sequences of a step that a rank of `world` ranks reads."""
        pieces = self._step_pieces(step, rank, world)
        length = self.settings.sequence_length
        # Capped data has no token after its last one: a separator is put there, as if a document followed.
        tokens = np.full((len(pieces), length + 1), self.corpus.separator, dtype=np.int64)
        ids = np.zeros((len(pieces), length), dtype=np.int32)
        positions = np.tile(np.arange(length), (len(pieces), 1))
        for row, parts in enumerate(pieces):
            self._fill(parts, tokens[row], ids[row], positions[row])
        return Batch(
            inputs=torch.from_numpy(tokens[:, :-1].copy()),
            targets=torch.from_numpy(tokens[:, 1:].copy()),
            document_ids=torch.from_numpy(ids),
            positions=torch.from_numpy(positions),
            loss_mask=torch.ones(ids.shape, dtype=torch.bool),
        )

    def documents(self, step: int, rank: int = 0, world: int = 1) -> list[DocumentRef]:
        """The documents whose tokens are inputs of a step, in the order of the sequences, each once."""
        indices = dict.fromkeys(self.token_documents(step, rank, world).ravel().tolist())
        found = {index: self.corpus.describe(index) for index in sorted(indices)}  # sorted: neighbors share a row group
        return [found[index] for index in indices]

    def token_documents(self, step: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        """The corpus's document of every input token, int64 [sequences, sequence_length]."""
        rows = []
        for pieces in self._step_pieces(step, rank, world):
            owners = np.repeat([piece.document for piece in pieces], [piece.tokens for piece in pieces])
            rows.append(owners[: self.settings.sequence_length])
        return np.stack(rows)

    def shares(self, steps: int) -> list[SourceShare]:
        """Target and realized shares after a number of steps. Refuses more steps than there is data for."""
        last = self.sequences(steps).start
        read = self._count_tokens_read(last) - self._count_tokens_read(self.settings.first_sequence)
        return self.mixture.source_shares(read)

    def _count_tokens_read(self, sequences: int) -> NDArray[np.float64]:
        """Tokens of each document among the first sequences read (exact but for the sequence where two passes meet)."""
        if sequences == 0:
            return np.zeros(len(self.corpus))
        length = self.settings.sequence_length
        number = self.mixture.find_pass(sequences * length - 1)
        reading = self.mixture.read_pass(number)
        first, order = self._sequence_order(number)
        chosen = np.zeros(len(order) + 1)
        chosen[order[: sequences - first]] = 1
        before = np.concatenate([[0], np.cumsum(chosen)]) * length  # tokens read before each sequence of the pass

        def count_before(offsets: NDArray[np.int64]) -> NDArray[np.float64]:
            row, rest = np.divmod(offsets + (reading.first - first * length), length)
            counts: NDArray[np.float64] = before[row] + rest * chosen[row]
            return counts

        lengths = self.corpus.length[reading.order]
        in_pass = count_before(reading.ends) - count_before(reading.ends - lengths)
        earlier = (self.mixture.count_reads(number) * self.corpus.length).astype(np.float64)
        read: NDArray[np.float64] = earlier + np.bincount(reading.order, weights=in_pass, minlength=len(self.corpus))
        return read

    def _find_step_pieces(self, step: int, rank: int, world: int) -> list[list[Piece]]:
        """For each sequence of one rank's part of a step the pieces of its tokens and of the token after."""
        sequences = self.sequences(step)
        if len(sequences) % world:
            raise UserError(
                f"data.batch_size = {len(sequences)} cannot be divided evenly among {world} ranks; change one of them"
            )
        share = len(sequences) // world
        first = sequences.start + rank * share
        return [self._find_pieces(self._permute(number)) for number in range(first, first + share)]

    def _permute(self, sequence: int) -> int:
        """The place in the stream of the sequence that is read as number `sequence`."""
        number = self.mixture.find_pass((sequence + 1) * self.settings.sequence_length - 1)
        first, order = self._sequence_order(number)
        return int(first + order[sequence - first])

    def _permute_sequences(self, number: int) -> tuple[int, NDArray[np.int64]]:
        """The sequences that end in a pass: the first of them, and a permutation of their offsets from it."""
        length = self.settings.sequence_length
        first = self.mixture.first_token(number) // length
        after = self.mixture.first_token(number + 1) // length
        generator = np.random.Generator(np.random.PCG64([self.settings.seed, number, 1]))
        return first, generator.permutation(after - first)

    def _find_pieces(self, sequence: int) -> list[Piece]:
        """The pieces of `sequence_length` + 1 tokens of the stream from a sequence's start."""
        count, position = self.settings.sequence_length + 1, sequence * self.settings.sequence_length
        pieces = []
        while count and position < self.mixture.available:
            reading = self.mixture.read_pass(self.mixture.find_pass(position))
            offset = position - reading.first
            place = int(np.searchsorted(reading.ends, offset, side="right"))
            while count and place < len(reading.order):
                document = int(reading.order[place])
                left = int(reading.ends[place]) - offset  # tokens from the offset to the document's end
                tokens = min(count, left)
                pieces.append(Piece(document, int(self.corpus.length[document]) - left, tokens))
                count, offset, position, place = count - tokens, offset + tokens, position + tokens, place + 1
        return pieces

    def _fill(
        self, pieces: list[Piece], tokens: NDArray[np.int64], ids: NDArray[np.int32], positions: NDArray[np.int64]
    ) -> None:
        """Write one sequence: its tokens and the one after, and where documents begin in it."""
        start = 0
        for number, (document, offset, count) in enumerate(pieces):
            end = start + count
            tokens[start:end] = self.corpus.document(document)[offset : offset + count]
            if self.settings.document_mask:
                ids[start:end] = number
                positions[start:end] = np.arange(len(positions[start:end]))
            start = end
