"""Which documents each pass over the mixture reads, and in which order.

A document of weight w is read w times per pass on average. After p passes it has been read floor(p * w + u) times,
where u in [0, 1) is a hash of the document and the seed: a weight of 0.25 means once in four passes, 2.5 means two and
three times in turn, and the count never differs from p * w by a whole repetition (with independent draws it would). u
is uniform, so the expectation over documents is exact. `max_repetitions` bounds the total over the whole run.

Shares: the weights of a source with a share are scaled by one factor, so that its expected tokens are that share of a
pass. Sources without a share divide the rest by their weighted tokens.

Cost: arrays over all documents are read when a mixture is made, when a pass begins, and a few times to find the first
pass; never for a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.corpus import Corpus, uniform
from trainer.errors import UserError

MIN_READS_PER_PASS = 1e-4  # a document below it (less than once in ten thousand passes) is never read


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: the documents in the order they are read, and where each begins and ends in the pass's stream."""

    order: NDArray[np.signedinteger[Any]]
    bounds: NDArray[np.int64]  # [documents read + 1]: tokens before each document, and of all
    first: int  # tokens of all passes before

    @property
    def tokens(self) -> int:
        return int(self.bounds[-1])


@dataclass(frozen=True, slots=True)
class SourceShare:
    """What a run reads of one source: a row of the mixture's table."""

    name: str
    documents: int
    tokens: int  # stored, each counted once
    target: float  # share of the tokens read that the configuration gives the source
    realized: float  # share of the tokens read
    repetitions: float  # tokens read / tokens stored
    most_repetitions: int  # times that the most repeated document was begun
    capped: int  # documents that reached max_repetitions


class Mixture:
    """The endless sequence of passes over a corpus; a pure function of (corpus, shares, seed, max_repetitions).

    reads_per_pass: expected reads of each document in one pass: its weight, scaled to its source's share.
    available: tokens that can be read before every document has reached max_repetitions; infinite without it.
    """

    def __init__(
        self, corpus: Corpus, shares: dict[str, float] | None = None, seed: int = 0, max_repetitions: int | None = None
    ) -> None:
        self.corpus = corpus
        self.seed = seed
        self.max_repetitions = max_repetitions
        self.reads_per_pass = _scale_weights(corpus, shares or {})
        self.available = _count_available(corpus, self.reads_per_pass, max_repetitions)
        self._phase = uniform(corpus.key, seed)
        self.read_pass = lru_cache(maxsize=2)(self._read_pass)
        self.first_token = lru_cache(maxsize=None)(self._first_token)

    def count_reads(self, passes: int) -> NDArray[np.int64]:
        """How often each document has been read after a number of passes."""
        counts = np.floor(passes * self.reads_per_pass + self._phase).astype(np.int64)
        return counts if self.max_repetitions is None else np.minimum(counts, self.max_repetitions)

    def _first_token(self, number: int) -> int:
        """Tokens of all passes before this one, in closed form: a pass is found without reading the earlier ones."""
        return int((self.count_reads(number) * self.corpus.length).sum())

    def _read_pass(self, number: int) -> Pass:
        counts = self.count_reads(number + 1) - self.count_reads(number)
        order = shuffle_numbers(counts, [self.seed, number])
        bounds = np.concatenate([[0], self.corpus.length[order]])
        return Pass(order=order, bounds=np.cumsum(bounds, out=bounds), first=self.first_token(number))

    def find_pass(self, token: int) -> int:
        """The number of the pass that holds this token of the endless stream."""
        if token >= self.available:
            raise UserError(
                f"the data ends after {self.available:,.0f} tokens and the run needs token {token:,}: "
                f"train for fewer steps, add data, or raise data.max_repetitions (now {self.max_repetitions})"
            )
        high = 1
        while self.first_token(high) <= token:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.first_token(middle) <= token else (low, middle)
        return low

    def source_shares(self, read: NDArray[np.float64]) -> list[SourceShare]:
        """Target and realized shares, one row per source, given the tokens read of each document."""
        expected = self.reads_per_pass * self.corpus.length
        times = np.ceil(read / np.maximum(self.corpus.length, 1)).astype(np.int64)
        rows = []
        for index, name in enumerate(self.corpus.names):
            mine = self.corpus.source == index
            stored = int(self.corpus.length[mine].sum())
            rows.append(
                SourceShare(
                    name=name,
                    documents=int(mine.sum()),
                    tokens=stored,
                    target=float(expected[mine].sum() / expected.sum()),
                    realized=float(read[mine].sum() / max(read.sum(), 1)),
                    repetitions=float(read[mine].sum() / max(stored, 1)),
                    most_repetitions=int(times[mine].max(initial=0)),
                    capped=0 if self.max_repetitions is None else int((times[mine] >= self.max_repetitions).sum()),
                )
            )
        return rows


def shuffle_numbers(counts: NDArray[np.int64], seed: Sequence[int]) -> NDArray[np.signedinteger[Any]]:
    """Each number below len(counts), as often as its count says, in random order; narrow, as a pass keeps it."""
    numbers = np.repeat(np.arange(len(counts), dtype=index_type(len(counts))), counts)
    np.random.Generator(np.random.PCG64(seed)).shuffle(numbers)
    return numbers


def index_type(count: int) -> np.dtype[np.signedinteger[Any]]:
    """The narrower type that numbers so many things."""
    return np.dtype(np.int32 if count < 2**31 else np.int64)


def _count_available(corpus: Corpus, reads_per_pass: NDArray[np.float64], max_repetitions: int | None) -> float:
    readable = int(corpus.length[reads_per_pass > 0].sum())
    return float("inf") if max_repetitions is None and readable else float(readable * (max_repetitions or 0))


def _scale_weights(corpus: Corpus, shares: dict[str, float]) -> NDArray[np.float64]:
    """Weights with each source scaled to its share of the tokens of a pass."""
    unknown = sorted(set(shares) - set(corpus.names))
    if unknown:
        raise UserError(
            f"shares name sources that do not exist: {', '.join(unknown)} (there are {', '.join(corpus.names)})"
        )
    total_share = sum(shares.values())
    if total_share > 1 + 1e-9 or (len(shares) == len(corpus.names) and abs(total_share - 1) > 1e-6):
        raise UserError(f"the sources' shares add up to {total_share:g}, not to 1")
    weighted = np.bincount(corpus.source, weights=corpus.weight * corpus.length, minlength=len(corpus.names))
    total = weighted.sum()
    if not total > 0:
        raise UserError("no document of the mixture has a weight above 0: there is nothing to train on")
    rest = sum(weighted[i] for i, name in enumerate(corpus.names) if name not in shares)
    factors = np.ones(len(corpus.names))
    for index, name in enumerate(corpus.names):
        target = shares.get(name, (1 - total_share) * weighted[index] / rest if rest else 0.0)
        if target > 0 and not weighted[index] > 0:
            raise UserError(f"source {name} has no token to fill its share of {target:.1%}")
        factors[index] = target * total / weighted[index] if weighted[index] > 0 else 0.0
    scaled: NDArray[np.float64] = corpus.weight * factors[corpus.source]
    scaled[scaled < MIN_READS_PER_PASS] = 0
    return scaled


def format_shares(lines: Sequence[SourceShare]) -> str:
    """Target and realized shares as a table, one row per source."""
    width = max(len(line.name) for line in lines)
    rows = [
        f"{'source':<{width}} {'documents':>11} {'tokens':>15} {'target':>8} {'realized':>9} "
        f"{'repetitions':>11} {'maximum':>7} {'capped':>9}"
    ]
    rows += [
        f"{line.name:<{width}} {line.documents:>11,} {line.tokens:>15,} {line.target:>8.2%} {line.realized:>9.2%} "
        f"{line.repetitions:>11.2f} {line.most_repetitions:>7} {line.capped:>9,}"
        for line in lines
    ]
    short = [line.name for line in lines if line.capped and line.realized < 0.95 * line.target]
    if short:
        rows.append(f"max_repetitions keeps {', '.join(short)} below the target share: add data or accept the mixture")
    return "\n".join(rows)
