"""Which documents each pass over the mixture holds, and in which order.

A document with weight w is due w times a pass. After p passes it has been seen floor(p * w + u) times, u being a number
in [0, 1) that belongs to the document: so a weight of 0.25 means once in four passes, 2.5 means twice and three times
in turn, and no document ever strays from its due by a whole repetition, which independent draws would do. Over the
documents the expectation is exact, because u is uniform. `max_repetitions` bounds the total over the whole run.

Shares: where a source asks for a share of the tokens, the weights of its documents are scaled by one factor so that its
expected tokens take that share of a pass. Sources without a share divide what is left by their weighted tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trainer.data.corpus import Corpus, uniform

LEAST_DUE = 1e-4  # a document due less than once in ten thousand passes is never read


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: the documents in the order they are read, and where each ends, in tokens from the pass's start."""

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: int  # tokens of all passes before

    @property
    def tokens(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0


@dataclass(frozen=True, slots=True)
class SourceShare:
    """A line of the mixture's table."""

    name: str
    documents: int
    tokens: int  # unique, as stored
    asked: float  # share of the tokens read
    realized: float
    repetitions: float  # tokens read / tokens stored
    most: int  # times that the most repeated document was begun
    capped: int  # documents that reached max_repetitions


class Mixture:
    """The endless sequence of passes over a corpus; a pure function of (corpus, shares, seed, max_repetitions)."""

    def __init__(
        self, corpus: Corpus, shares: dict[str, float] | None = None, seed: int = 0, max_repetitions: int | None = None
    ) -> None:
        self.corpus = corpus
        self.seed = seed
        self.cap = max_repetitions
        self.due = _scaled_weights(corpus, shares or {})
        self._phase = uniform(corpus.key, seed)
        self.read_pass = lru_cache(maxsize=2)(self._read_pass)
        self.first_token = lru_cache(maxsize=None)(self._first_token)

    @property
    def available(self) -> float:
        """Tokens that can be read before every document has reached its cap."""
        readable = int(self.corpus.length[self.due > 0].sum())
        return float("inf") if self.cap is None and readable else float(readable * (self.cap or 0))

    def seen(self, passes: int) -> NDArray[np.int64]:
        """How often each document has been read after so many passes."""
        counts = np.floor(passes * self.due + self._phase).astype(np.int64)
        return counts if self.cap is None else np.minimum(counts, self.cap)

    def _first_token(self, number: int) -> int:
        """Tokens of all passes before this one: a closed form, so a pass is found without reading those before."""
        return int((self.seen(number) * self.corpus.length).sum())

    def _read_pass(self, number: int) -> Pass:
        counts = self.seen(number + 1) - self.seen(number)
        order = np.repeat(np.arange(len(counts)), counts)
        order = np.random.Generator(np.random.PCG64([self.seed, number])).permutation(order)
        return Pass(order=order, ends=np.cumsum(self.corpus.length[order]), first=self.first_token(number))

    def pass_of(self, token: int) -> int:
        """The number of the pass that holds this token of the endless stream."""
        if token >= self.available:
            raise ValueError(
                f"the data ends after {self.available:,.0f} tokens and token {token:,} was asked for: "
                f"train for fewer steps, add data, or raise data.max_repetitions (now {self.cap})"
            )
        high = 1
        while self.first_token(high) <= token:
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.first_token(middle) <= token else (low, middle)
        return low

    def table(self, read: NDArray[np.float64]) -> list[SourceShare]:
        """Asked beside realized, a line a source, when so many tokens have been read of each document."""
        due = self.due * self.corpus.length
        times = np.ceil(read / np.maximum(self.corpus.length, 1)).astype(np.int64)
        lines = []
        for index, name in enumerate(self.corpus.names):
            mine = self.corpus.source == index
            stored = int(self.corpus.length[mine].sum())
            lines.append(
                SourceShare(
                    name=name,
                    documents=int(mine.sum()),
                    tokens=stored,
                    asked=float(due[mine].sum() / due.sum()),
                    realized=float(read[mine].sum() / max(read.sum(), 1)),
                    repetitions=float(read[mine].sum() / max(stored, 1)),
                    most=int(times[mine].max(initial=0)),
                    capped=0 if self.cap is None else int((times[mine] >= self.cap).sum()),
                )
            )
        return lines


def _scaled_weights(corpus: Corpus, shares: dict[str, float]) -> NDArray[np.float64]:
    """Weights with each source scaled to its share of the tokens of a pass."""
    unknown = sorted(set(shares) - set(corpus.names))
    if unknown:
        raise ValueError(
            f"shares name sources that do not exist: {', '.join(unknown)} (there are {', '.join(corpus.names)})"
        )
    asked = sum(shares.values())
    if asked > 1 + 1e-9 or (len(shares) == len(corpus.names) and abs(asked - 1) > 1e-6):
        raise ValueError(f"the sources' shares add up to {asked:g}, not to 1")
    weighted = np.bincount(corpus.source, weights=corpus.weight * corpus.length, minlength=len(corpus.names))
    total = weighted.sum()
    if not total > 0:
        raise ValueError("the mixture holds no token with a weight above 0: nothing to train on")
    rest = sum(weighted[i] for i, name in enumerate(corpus.names) if name not in shares)
    factors = np.ones(len(corpus.names))
    for index, name in enumerate(corpus.names):
        target = shares.get(name, (1 - asked) * weighted[index] / rest if rest else 0.0)
        if target > 0 and not weighted[index] > 0:
            raise ValueError(f"source {name} has no token to fill its share of {target:.1%}")
        factors[index] = target * total / weighted[index] if weighted[index] > 0 else 0.0
    scaled: NDArray[np.float64] = corpus.weight * factors[corpus.source]
    scaled[scaled < LEAST_DUE] = 0
    return scaled
