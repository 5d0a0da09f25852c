"""How documents become sequences of equal length: cut where a sequence ends, or packed whole by best fit.

    cut        the passes form one stream of tokens, which is cut without gaps. No position is empty, but most sequences
               begin inside a document, whose first tokens are not in view
    best_fit   a document that fits into a sequence is in one sequence, from its start; longer ones are cut into full
               sequences and a rest. The pieces of a pass are packed by best-fit decreasing, and what is left of a
               sequence is padding (Ding et al. 2024, "Fewer truncations improve language modeling")

Cut is the default by an ablation at 512 tokens (`python -m tests.benchmarks.packing`): .5 million weights, 200 steps
of 2,048 positions, three seeds. Best fit had .057 bits per byte more on held-out pages (90% interval .008 to .106); on
novels no difference is shown (.035 more, -.008 to .078). Longer sequences and runs were not compared.

Either way the sequences of a pass are shuffled, and a sequence is a function of its number, the seed and the settings.
Best fit works on the number of pieces of each length, so its cost depends on `sequence_length`, not on the number of
documents; arrays over all documents are read once a pass.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.data.mixture import Mixture


class Packing(StrEnum):
    """How documents become sequences."""

    CUT = "cut"
    BEST_FIT = "best_fit"


class Pieces(NamedTuple):
    """The parts of documents in some sequences, one after the other: parallel arrays [pieces]."""

    document: NDArray[np.int64]
    offset: NDArray[np.int64]  # first token in the document
    tokens: NDArray[np.int64]
    begins: NDArray[np.int64]  # [sequences + 1]: the first piece of each sequence


class Waste(NamedTuple):
    """What a way of packing costs in one pass, each 0 to 1."""

    padded: float  # positions without a token
    cut: float  # tokens of documents that lie in several sequences
    headless: float  # tokens whose document begins in another sequence


class Layout(Protocol):
    """The sequences of a mixture, numbered in the order they are read."""

    def pieces(self, sequences: range) -> Pieces:
        """The pieces of some sequences, each at most `sequence_length` tokens."""

    def pass_pieces(self, number: int) -> Pieces:
        """All pieces of a pass."""

    def count_tokens_read(self, sequences: int) -> NDArray[np.float64]:
        """Tokens of each document among the first sequences read."""


def build_layout(packing: Packing, mixture: Mixture, sequence_length: int, seed: int) -> Layout:
    """The layout of this name."""
    return (CutLayout if packing is Packing.CUT else BestFitLayout)(mixture, sequence_length, seed)


class CutLayout:
    """One stream of tokens, cut into sequences."""

    def __init__(self, mixture: Mixture, sequence_length: int, seed: int) -> None:
        self._mixture, self._length, self._seed = mixture, sequence_length, seed
        self._sequence_order = lru_cache(maxsize=2)(self._permute_sequences)

    def pieces(self, sequences: range) -> Pieces:
        """`sequence_length` tokens of the stream each."""
        parts = []
        left = sequences
        while left:
            number = self._mixture.find_pass((left.start + 1) * self._length - 1)
            first, order = self._sequence_order(number)
            count = min(len(left), first + len(order) - left.start)  # those that end in this pass
            begins = (first + order[left.start - first :][:count]) * self._length
            rows = np.arange(count) + (left.start - sequences.start)
            parts += self._cut(number, rows, begins, begins + self._length)
            left = left[count:]
        columns = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        if len(parts) > 1:  # a sequence may begin in an earlier pass
            by_row = np.argsort(columns[0], kind="stable")
            columns = [column[by_row] for column in columns]
        row, document, offset, tokens = columns
        return Pieces(document, offset, tokens, np.searchsorted(row, np.arange(len(sequences) + 1)))

    def _cut(
        self, number: int, rows: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], ...]]:
        """(row, document, offset, tokens) of parts of the stream that end in a pass, the earliest pass first."""
        reading = self._mixture.read_pass(number)
        earlier, parts = begins < reading.first, []
        if earlier.any():
            before = self._mixture.find_pass(reading.first - 1)
            parts = self._cut(before, rows[earlier], begins[earlier], np.full(int(earlier.sum()), reading.first))
        begins, ends = np.maximum(begins - reading.first, 0), ends - reading.first
        places = np.searchsorted(reading.ends, begins, side="right")
        counts = np.searchsorted(reading.ends, ends) - places + 1
        place = np.repeat(places, counts) + count_up(counts)
        document, end = reading.order[place], reading.ends[place]
        start = end - self._mixture.corpus.length[document]
        begin = np.maximum(np.repeat(begins, counts), start)
        tokens = np.minimum(np.repeat(ends, counts), end) - begin
        return [*parts, (np.repeat(rows, counts), document, begin - start, tokens)]

    def pass_pieces(self, number: int) -> Pieces:
        """The stream of a pass, cut at the ends of documents and of sequences, unshuffled."""
        reading = self._mixture.read_pass(number)
        cuts = np.arange(0, reading.tokens + self._length, self._length)
        bounds = np.union1d(reading.ends, np.minimum(cuts, reading.tokens))
        begins, tokens = bounds[:-1], np.diff(bounds)
        place = np.searchsorted(reading.ends, begins, side="right")
        document = reading.order[place]
        start = reading.ends[place] - self._mixture.corpus.length[document]
        return Pieces(document, begins - start, tokens, np.searchsorted(begins, cuts))

    def count_tokens_read(self, sequences: int) -> NDArray[np.float64]:
        """Exact but for the sequence where two passes meet."""
        corpus, length = self._mixture.corpus, self._length
        if sequences == 0:
            return np.zeros(len(corpus))
        number = self._mixture.find_pass(sequences * length - 1)
        reading = self._mixture.read_pass(number)
        first, order = self._sequence_order(number)
        chosen = np.zeros(len(order) + 1)
        chosen[order[: sequences - first]] = 1
        before = np.concatenate([[0], np.cumsum(chosen)]) * length  # tokens read before each sequence of the pass

        def count_before(offsets: NDArray[np.int64]) -> NDArray[np.float64]:
            row, rest = np.divmod(offsets + (reading.first - first * length), length)
            counts: NDArray[np.float64] = before[row] + rest * chosen[row]
            return counts

        in_pass = count_before(reading.ends) - count_before(reading.ends - corpus.length[reading.order])
        earlier = (self._mixture.count_reads(number) * corpus.length).astype(np.float64)
        read: NDArray[np.float64] = earlier + np.bincount(reading.order, weights=in_pass, minlength=len(corpus))
        return read

    def _permute_sequences(self, number: int) -> tuple[int, NDArray[np.int64]]:
        """The sequences that end in a pass: the first of them, and a permutation of their offsets from it."""
        first = self._mixture.first_token(number) // self._length
        after = self._mixture.first_token(number + 1) // self._length
        generator = np.random.Generator(np.random.PCG64([self._seed, number, 1]))
        return first, generator.permutation(after - first)


class BestFitLayout:
    """Documents from their start, packed pass by pass."""

    def __init__(self, mixture: Mixture, sequence_length: int, seed: int) -> None:
        self._mixture, self._length, self._seed = mixture, sequence_length, seed
        self._first_sequence = lru_cache(maxsize=None)(self._count_sequences_before)
        self.pass_pieces = lru_cache(maxsize=2)(self._pack_pass)

    def pieces(self, sequences: range) -> Pieces:
        """Whole documents or their rests, or a full part of a long document."""
        parts = []
        while sequences:
            number = self._find_pass(sequences.start)
            packed = self.pass_pieces(number)
            place = sequences.start - self._first_sequence(number)
            begins = packed.begins[place : place + len(sequences) + 1]
            document, offset, tokens = (array[begins[0] : begins[-1]] for array in packed[:3])
            parts.append(Pieces(document, offset, tokens, begins - begins[0]))
            sequences = sequences[len(begins) - 1 :]
        return _join(parts)

    def count_tokens_read(self, sequences: int) -> NDArray[np.float64]:
        """Exact."""
        corpus = self._mixture.corpus
        if sequences == 0:
            return np.zeros(len(corpus))
        number = self._find_pass(sequences - 1)
        packed = self.pass_pieces(number)
        end = int(packed.begins[sequences - self._first_sequence(number)])
        in_pass = np.bincount(packed.document[:end], weights=packed.tokens[:end], minlength=len(corpus))
        read: NDArray[np.float64] = in_pass + self._mixture.count_reads(number) * corpus.length
        return read

    def _find_pass(self, sequence: int) -> int:
        number = 0
        while self._first_sequence(number + 1) <= sequence:
            number += 1
            if self._first_sequence(number + 1) == self._first_sequence(number):  # raises behind the last pass
                self._mixture.find_pass(self._mixture.first_token(number))
        return number

    def _count_sequences_before(self, number: int) -> int:
        if number == 0:
            return 0
        counts = self._mixture.count_reads(number) - self._mixture.count_reads(number - 1)
        lengths = self._mixture.corpus.length
        full = int((counts * (lengths // self._length)).sum())
        rests = np.bincount(lengths % self._length, weights=counts, minlength=self._length).astype(np.int64)
        return self._first_sequence(number - 1) + full + sum(count for _, count in best_fit(rests, self._length))

    def _pack_pass(self, number: int) -> Pieces:
        """Pieces are matched with places of their length in the packed sequences, and sequences shuffled."""
        order = self._mixture.read_pass(number).order
        full, rest = np.divmod(self._mixture.corpus.length[order], self._length)
        rests = np.flatnonzero(rest)
        rests = rests[np.argsort(rest[rests], kind="stable")]  # shuffled within a length, as `order` is
        sequence, packed = _places(best_fit(np.bincount(rest, minlength=self._length), self._length))
        part = count_up(full)  # of each full sequence's document
        document = np.concatenate([order[rests], np.repeat(order, full)])
        offset = np.concatenate([(full * self._length)[rests], part * self._length])
        tokens = np.concatenate([rest[rests], np.full(len(part), self._length)])
        sequence = np.concatenate([sequence, packed + np.arange(len(part))])
        count = packed + len(part)
        generator = np.random.Generator(np.random.PCG64([self._seed, number, 1]))
        sequence = generator.permutation(count)[sequence]
        by_sequence = np.argsort(sequence, kind="stable")
        begins = np.searchsorted(sequence[by_sequence], np.arange(count + 1))
        return Pieces(document[by_sequence], offset[by_sequence], tokens[by_sequence], begins)


def count_up(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... below each count, one after the other: [2, 3] -> [0, 1, 0, 1, 2]."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def _join(parts: Sequence[Pieces]) -> Pieces:
    if len(parts) == 1:
        return parts[0]
    document, offset, tokens = (np.concatenate(arrays) for arrays in list(zip(*parts, strict=True))[:3])
    counts = np.concatenate([np.diff(part.begins) for part in parts])
    return Pieces(document, offset, tokens, np.concatenate([[0], np.cumsum(counts)]))


def format_waste(packing: Packing, waste: Waste) -> str:
    """What a packing wastes, in one line."""
    return (
        f"packing {packing}: {waste.padded:.2%} padding, {waste.headless:.1%} of tokens without their document's start "
        f"in view, {waste.cut:.1%} in documents that are cut"
    )


Pattern = tuple[int, ...]  # lengths of the pieces of a sequence


def best_fit(counts: NDArray[np.int64], size: int) -> list[tuple[Pattern, int]]:
    """Best-fit decreasing: each piece, the longest first, goes where it leaves the least room.

    counts: [lengths], the number of pieces of each length below `size`; length 0 is not counted. Returns the patterns
    of the sequences and how many of each there are. Pieces of one length are placed together: after the first one in
    the tightest sequence, that sequence is the tightest for the next, until it is full.
    """
    open_sequences: dict[int, list[tuple[Pattern, int]]] = {size: []}  # by room left
    rooms: list[int] = []  # sorted, those that are in use
    for length in range(len(counts) - 1, 0, -1):
        left = int(counts[length])
        while left:
            place = bisect_left(rooms, length)
            room = rooms[place] if place < len(rooms) else size
            pattern, number = open_sequences[room].pop() if room < size else ((), left)
            if room < size and not open_sequences[room]:
                rooms.pop(place)
                del open_sequences[room]
            each = room // length
            filled = min(number, left // each)
            _add(open_sequences, rooms, room - each * length, pattern + (length,) * each, filled)
            left -= filled * each
            number -= filled
            if number and left and left < each:
                _add(open_sequences, rooms, room - left * length, pattern + (length,) * left, 1)
                left, number = 0, number - 1
            if room < size:
                _add(open_sequences, rooms, room, pattern, number)
    return [group for groups in open_sequences.values() for group in groups]


def _add(
    open_sequences: dict[int, list[tuple[Pattern, int]]], rooms: list[int], room: int, pattern: Pattern, number: int
) -> None:
    if number:
        if room not in open_sequences:
            insort(rooms, room)
        open_sequences.setdefault(room, []).append((pattern, number))


def _places(packed: Sequence[tuple[Pattern, int]]) -> tuple[NDArray[np.int64], int]:
    """The sequence of every place in order of the places' lengths, and the number of sequences."""
    numbers = np.array([number for _, number in packed], dtype=np.int64)
    sizes = np.array([len(pattern) for pattern, _ in packed], dtype=np.int64)
    lengths = [np.tile(np.array(pattern, dtype=np.int64), number) for pattern, number in packed]
    if not lengths:
        return np.empty(0, np.int64), 0
    sequence = np.repeat(np.arange(int(numbers.sum())), np.repeat(sizes, numbers))
    return sequence[np.argsort(np.concatenate(lengths), kind="stable")], int(numbers.sum())


def measure_waste(layout: Layout, corpus_lengths: NDArray[np.int64], sequence_length: int) -> Waste:
    """What the first pass wastes. A document that a pass reads several times counts as often."""
    pieces = layout.pass_pieces(0)
    tokens = max(int(pieces.tokens.sum()), 1)
    whole = pieces.tokens == corpus_lengths[pieces.document]
    positions = max(len(pieces.begins) - 1, 1) * sequence_length
    if isinstance(layout, CutLayout):
        positions = tokens  # the stream goes on in the next pass
    return Waste(
        padded=1 - tokens / positions,
        cut=float(pieces.tokens[~whole].sum() / tokens),
        headless=float(pieces.tokens[pieces.offset > 0].sum() / tokens),
    )
