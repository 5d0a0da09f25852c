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
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.data.mixture import Mixture, Pass, index_type, shuffle_numbers


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


class _Cuts(NamedTuple):
    """The sequences that end in a pass."""

    first: int  # number of the first of them
    order: NDArray[np.signedinteger[Any]]  # in which they are read, counted from the first
    ended: NDArray[np.signedinteger[Any]]  # [sequences + 1]: documents of the pass that end at each cut or before it


class CutLayout:
    """One stream of tokens, cut into sequences."""

    def __init__(self, mixture: Mixture, sequence_length: int, seed: int) -> None:
        self._mixture, self._length, self._seed = mixture, sequence_length, seed
        self._cuts = lru_cache(maxsize=2)(self._find_cuts)

    def pieces(self, sequences: range) -> Pieces:
        """`sequence_length` tokens of the stream each."""
        parts = []
        while sequences:
            number = self._mixture.find_pass((sequences.start + 1) * self._length - 1)
            cuts = self._cuts(number)
            chosen = cuts.order[sequences.start - cuts.first :][: len(sequences)]  # those that end in this pass
            parts.append(self._cut_sequences(number, chosen.astype(np.int64)))
            sequences = sequences[len(chosen) :]
        return _join(parts)

    def _cut_sequences(self, number: int, chosen: NDArray[np.int64]) -> Pieces:
        """The pieces of sequences that end in a pass, which are counted from the first of them."""
        reading, cuts = self._mixture.read_pass(number), self._cuts(number)
        begins = chosen * self._length + (cuts.first * self._length - reading.first)
        ends = begins + self._length
        after = cuts.ended[chosen + 1]
        pieces = _cut_stream(reading, begins, ends, cuts.ended[chosen], after - (reading.bounds[after] == ends))
        row = int(begins.argmin())
        return pieces if begins[row] >= 0 else _insert(pieces, row, self._read_back(reading.first, -int(begins[row])))

    def _read_back(self, end: int, tokens: int) -> Pieces:
        """The pieces of a stretch of tokens that ends where a pass does, of as many passes as it takes."""
        reading = self._mixture.read_pass(self._mixture.find_pass(end - 1))
        here = min(tokens, reading.tokens)
        begins, ends = np.array([reading.tokens - here]), np.array([reading.tokens])
        places = np.searchsorted(reading.bounds, begins, side="right") - 1
        pieces = _cut_stream(reading, begins, ends, places, np.array([len(reading.order) - 1]))
        return pieces if here == tokens else _insert(pieces, 0, self._read_back(reading.first, tokens - here))

    def pass_pieces(self, number: int) -> Pieces:
        """The stream of a pass, cut at the ends of documents and of sequences, unshuffled."""
        reading = self._mixture.read_pass(number)
        cuts = np.arange(0, reading.tokens + self._length, self._length)
        bounds = np.union1d(reading.bounds, np.minimum(cuts, reading.tokens))
        begins, tokens = bounds[:-1], np.diff(bounds)
        place = np.searchsorted(reading.bounds, begins, side="right") - 1
        offset = begins - reading.bounds[place]
        return Pieces(reading.order[place].astype(np.int64), offset, tokens, np.searchsorted(begins, cuts))

    def count_tokens_read(self, sequences: int) -> NDArray[np.float64]:
        """Exact but for the sequence where two passes meet."""
        corpus, length = self._mixture.corpus, self._length
        if sequences == 0:
            return np.zeros(len(corpus))
        number = self._mixture.find_pass(sequences * length - 1)
        reading = self._mixture.read_pass(number)
        first, order, _ = self._cuts(number)
        chosen = np.zeros(len(order) + 1)
        chosen[order[: sequences - first]] = 1
        before = np.concatenate([[0], np.cumsum(chosen)]) * length  # tokens read before each sequence of the pass

        def count_read(offsets: NDArray[np.int64]) -> NDArray[np.float64]:
            row, rest = np.divmod(offsets + (reading.first - first * length), length)
            counts: NDArray[np.float64] = before[row] + rest * chosen[row]
            return counts

        in_pass = np.diff(count_read(reading.bounds))
        earlier = (self._mixture.count_reads(number) * corpus.length).astype(np.float64)
        read: NDArray[np.float64] = earlier + np.bincount(reading.order, weights=in_pass, minlength=len(corpus))
        return read

    def _find_cuts(self, number: int) -> _Cuts:
        """Counted over the ends of documents, so that no batch searches them: a search misses the CPU's caches."""
        reading = self._mixture.read_pass(number)
        first = self._mixture.first_token(number) // self._length
        count = self._mixture.first_token(number + 1) // self._length - first
        order = shuffle_numbers(np.ones(count, np.int64), [self._seed, number, 1])
        shift = reading.first - first * self._length + self._length - 1
        cut = (reading.bounds[1:] + shift) // self._length  # the first one at each end or behind it
        ended = np.cumsum(np.bincount(cut, minlength=count + 1)[: count + 1])
        return _Cuts(first, order, ended.astype(index_type(len(reading.order))))


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
        document = np.concatenate([order[rests], np.repeat(order, full)]).astype(np.int64)
        offset = np.concatenate([(full * self._length)[rests], part * self._length])
        tokens = np.concatenate([rest[rests], np.full(len(part), self._length)])
        sequence = np.concatenate([sequence, packed + np.arange(len(part))])
        count = packed + len(part)
        generator = np.random.Generator(np.random.PCG64([self._seed, number, 1]))
        sequence = generator.permutation(count)[sequence]
        by_sequence = np.argsort(sequence, kind="stable")
        begins = np.searchsorted(sequence[by_sequence], np.arange(count + 1))
        return Pieces(document[by_sequence], offset[by_sequence], tokens[by_sequence], begins)


def _cut_stream(
    reading: Pass,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    places: NDArray[np.integer[Any]],
    lasts: NDArray[np.integer[Any]],
) -> Pieces:
    """Parts of a pass's stream, given the places in the pass of the first and last document of each.

    Bounds of documents are read where they are beside each other: lengths, by document, are not.
    """
    counts = lasts - places + 1
    pieces = count_before(counts)
    first, last = pieces[:-1], pieces[1:] - 1
    place = np.arange(pieces[-1]) + (places - first).repeat(counts)
    start = reading.bounds[place]
    tokens, offset = reading.bounds[place + 1] - start, np.zeros(len(place), np.int64)
    tokens[last] += ends - (start[last] + tokens[last])
    offset[first] = np.maximum(begins - start[first], 0)
    tokens -= offset
    return Pieces(reading.order[place].astype(np.int64), offset, tokens, pieces)


def _insert(pieces: Pieces, row: int, more: Pieces) -> Pieces:
    """The pieces with others at the beginning of a sequence."""
    at = pieces.begins[row]
    document, offset, tokens = (np.insert(own, at, new) for own, new in list(zip(pieces, more, strict=True))[:3])
    begins = pieces.begins.copy()
    begins[row + 1 :] += len(more.document)
    return Pieces(document, offset, tokens, begins)


def count_before(counts: NDArray[np.integer[Any] | np.bool_]) -> NDArray[np.int64]:
    """The sum of the counts before each one, and of all: [2, 3] -> [0, 2, 5]."""
    sums = np.zeros(len(counts) + 1, np.int64)
    counts.cumsum(out=sums[1:])
    return sums


def count_up(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... below each count, one after the other: [2, 3] -> [0, 1, 0, 1, 2]."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def _join(parts: Sequence[Pieces]) -> Pieces:
    if len(parts) == 1:
        return parts[0]
    document, offset, tokens = (np.concatenate(arrays) for arrays in list(zip(*parts, strict=True))[:3])
    counts = np.concatenate([np.diff(part.begins) for part in parts])
    return Pieces(document, offset, tokens, count_before(counts))


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
