"""batch(step): the sequences of one optimizer step, as a pure function of (seed, step, configuration).

The mixture's passes become sequences of `sequence_length` tokens (packing.py); the sequences of a pass are shuffled, so
that the pieces of a long document fall into different batches. Step s takes sequences [s * batch_size, (s + 1) *
batch_size) and each rank an equal part of them. No state is carried from batch to batch, so a run resumes at any step,
on any number of ranks, and reads the same tokens. A run whose batch size changes has a segment for each size, and
the next one begins where the last one ended.
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
from trainer.data.packing import Packing, Pieces, Waste, build_layout, count_before, measure_waste
from trainer.errors import UserError
from trainer.settings import Settings

PADDING = -1  # document of positions without a token


class BatchSettings(Settings):
    """How the token stream is cut into batches. Source of max_repetitions: Muennighoff et al. 2023."""

    batch_size: int = Field(default=32, ge=1, description="sequences in one step, over all ranks")
    sequence_length: int = Field(default=512, ge=1, description="tokens in one sequence")
    seed: int = Field(default=0, description="seed of the order of documents and sequences")
    packing: Packing = Field(
        default=Packing.CUT,
        description="how documents become sequences: cut (one stream, cut where a sequence ends) or best_fit "
        "(documents from their start, packed with little padding)",
    )
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
    document_ids: Tensor  # int32: 0, 1, ... in order of appearance, all 0 without a document mask; -1 on padding
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
        self.layout = build_layout(settings.packing, self.mixture, settings.sequence_length, settings.seed)
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
        ends, length = pieces.tokens.cumsum(), self.settings.sequence_length
        padding = (pieces.document == PADDING).nonzero()[0]
        inputs, targets = self._read_tokens(pieces, ends, padding)
        origins = ends - pieces.tokens  # of positions
        if self.settings.document_mask:
            firsts, after = pieces.begins[:-1], pieces.begins[1:]
            numbers = np.arange(len(origins), dtype=np.int32) - firsts.astype(np.int32).repeat(after - firsts)
        else:
            numbers = np.zeros(len(origins), np.int32)
            origins -= origins % length
        real = np.ones(len(inputs), np.bool_)
        if len(padding):
            numbers[padding] = PADDING
            origins[padding] -= origins[padding] % length
            real = (numbers != PADDING).repeat(pieces.tokens)
        ids, positions = numbers.repeat(pieces.tokens), origins.repeat(pieces.tokens)
        np.subtract(self._places[: len(positions)], positions, out=positions)
        arrays = inputs, targets, ids, positions, real
        return Batch(*(torch.from_numpy(array.reshape(-1, length)) for array in arrays))

    def documents(self, step: int, rank: int = 0, world: int = 1) -> list[DocumentRef]:
        """The documents whose tokens are inputs of a step, in the order of the sequences, each once."""
        pieces = self._step_pieces(step, rank, world)
        indices = dict.fromkeys(pieces.document[pieces.document != PADDING].tolist())
        found = {index: self.corpus.describe(index) for index in sorted(indices)}  # sorted: neighbors share a row group
        return [found[index] for index in indices]

    def token_documents(self, step: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        """The document of every input token, PADDING where there is none: int64 [sequences, sequence_length]."""
        pieces = self._step_pieces(step, rank, world)
        return pieces.document.repeat(pieces.tokens).reshape(-1, self.settings.sequence_length)

    def shares(self, steps: int) -> list[SourceShare]:
        """Target and realized shares after a number of steps. Refuses more steps than there is data for."""
        last = self.sequences(steps).start
        read = self.layout.count_tokens_read(last) - self.layout.count_tokens_read(self.settings.first_sequence)
        return self.mixture.source_shares(read)

    def waste(self) -> Waste:
        """What the packing of the first pass wastes."""
        return measure_waste(self.layout, self.corpus.length, self.settings.sequence_length)

    def _find_step_pieces(self, step: int, rank: int, world: int) -> Pieces:
        """The pieces of the sequences of one rank's part of a step, with padding as a piece of the document PADDING."""
        sequences = self.sequences(step)
        if len(sequences) % world:
            raise UserError(
                f"data.batch_size = {len(sequences)} cannot be divided evenly among {world} ranks; change one of them"
            )
        share = len(sequences) // world
        first = sequences.start + rank * share
        return _fill(self.layout.pieces(range(first, first + share)), self.settings.sequence_length)

    @cached_property
    def _views(self) -> tuple[memoryview, ...]:
        """The token files, and one more that padding is read from. All have one type, as one tokenizer made them."""
        files = self.corpus.files
        padding = np.full(self.settings.sequence_length, self.corpus.separator, files[0].dtype)
        if len({file.dtype for file in files}) > 1:
            raise ValueError("the token files of a corpus differ in the type of their ids")
        return tuple(file.data for file in (*files, padding))

    def _read_tokens(
        self, pieces: Pieces, ends: NDArray[np.int64], padding: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets, flat, given where each piece ends in them and which pieces are padding.

        The target of a document's last token is the separator, whatever follows it in the sequence.
        """
        corpus, views, document = self.corpus, self._views, pieces.document
        file, start = corpus.file[document], corpus.start[document] + pieces.offset
        file[padding], start[padding] = len(corpus.files), 0
        stop = start + pieces.tokens
        parts = [views[f][a:b] for f, a, b in zip(file.tolist(), start.tolist(), stop.tolist(), strict=True)]
        tokens = np.frombuffer(b"".join(parts), corpus.files[0].dtype)  # arrays, concatenated, take twice the time
        inputs = tokens.astype(np.int64)
        targets = np.empty_like(inputs)
        targets[:-1] = tokens[1:]
        targets[ends - 1] = views[-1][0]  # the separator
        last = pieces.begins[1:] - 1  # of each sequence: no other document goes on behind its piece
        if len(padding):
            last = last[document[last] != PADDING]
        last = last[pieces.offset[last] + pieces.tokens[last] < corpus.length[document[last]]]
        targets[ends[last] - 1] = [views[f][b] for f, b in zip(file[last].tolist(), stop[last].tolist(), strict=True)]
        return inputs, targets

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """0, 1, ... over the positions of a batch."""
        return np.arange(max(segment.batch_size for segment in self.segments) * self.settings.sequence_length)


def _fill(pieces: Pieces, length: int) -> Pieces:
    """The pieces with another of the document PADDING at the end of each sequence that is not full."""
    rows = len(pieces.begins) - 1
    if pieces.tokens.sum() == rows * length:
        return pieces
    room = length - np.diff(count_before(pieces.tokens)[pieces.begins])
    shift = count_before(room > 0)
    begins = pieces.begins + shift
    place = np.arange(len(pieces.tokens)) + np.repeat(shift[:-1], np.diff(pieces.begins))
    document, offset = np.full(begins[-1], PADDING), np.zeros(begins[-1], np.int64)
    tokens = np.empty(begins[-1], np.int64)
    tokens[begins[1:] - 1] = room  # overwritten where a sequence is full
    document[place], offset[place], tokens[place] = pieces.document, pieces.offset, pieces.tokens
    return Pieces(document, offset, tokens, begins)
