"""The sum of a number over all pages of a group from a sample of them, with an interval that covers it.

A sample of all pages gives the sum itself. Otherwise the interval is wide on purpose: 99% for the number of pages that
count (Clopper and Pearson, exact for any size), times the largest plausible mean of those that do.

Duplicates among the pages that were not drawn are bounded by pairs of duplicates among the drawn ones. Of N pages, n
are drawn, and each pair of duplicates is among them with probability n(n-1)/N(N-1). So pairs that were seen bound the
sum P of s(s-1) over groups of s duplicates, and A pages in groups of which one each is kept leave at least A/(1+P/A)
kept (Cauchy and Schwarz). 300 of 10,000 pages without any such pair say no more than that half of them are kept: all
could be pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from scipy import stats

_LEVEL = 0.99
_LARGE_GROUP = 3  # drawn duplicates of each other: such a group is counted as one, not scaled


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sum with the interval that covers it."""

    value: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def plus(self, other: Estimate) -> Estimate:
        """The sum of two numbers; the interval is that of the worst cases of both."""
        return Estimate(self.value + other.value, self.low + other.low, self.high + other.high)

    def at_most(self, limit: float) -> Estimate:
        """The same number, which cannot be larger."""
        return Estimate(min(self.value, limit), min(self.low, limit), min(self.high, limit))

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two numbers, with the worst cases of both."""
        return Estimate(self.value - other.value, self.low - other.high, self.high - other.low)


@dataclass(frozen=True, slots=True)
class Newcomers:
    """The drawn ones of pages that now reach deduplication, and what deduplication does with them."""

    pages: int  # of which they are drawn
    drawn: int  # those included that a page stage still drops
    words: Sequence[float]  # of each that is kept
    groups: Sequence[int]  # duplicates of each other, kept one included: the size of each group, 1 for a page alone
    displaced: Sequence[float] = ()  # words of each known document that one of them now displaces
    freed: Sequence[float] = ()  # words of each known document that is kept as its better duplicate was displaced
    known_kept: tuple[float, float] = (inf, inf)  # known documents that could be displaced: pages, words ...
    known_dropped: tuple[float, float] = (inf, inf)  # ... and that could be freed
    one_stays: bool = True  # of a group; with `deduplicate.keep = "none"` none does


def estimate_newcomers(found: Newcomers, usual: float) -> tuple[Estimate, Estimate]:
    """Kept pages and words that the pages which were not drawn add. `usual`: words of a document."""
    rest = found.pages - found.drawn
    if rest <= 0:
        return Estimate(), Estimate()
    kept = _bound_kept(found, rest)
    sides = ((found.displaced, found.known_kept), (found.freed, found.known_dropped))
    counts = [_scale([1.0] * len(values), found.drawn, rest, 1.0).at_most(most) for values, (most, _) in sides]
    lost, more = (_scale(values, found.drawn, rest, usual).at_most(most) for values, (_, most) in sides)
    mean, spread = _mean_of(np.asarray(found.words, float), usual)
    # Of a group, another member may be the one that is kept: the words of drawn documents are not certain either.
    swapped = len(found.words) * min(spread, mean)
    low, high = kept.low * max(mean - spread, 0.0) - swapped, kept.high * (mean + spread) + swapped
    words = Estimate(kept.value * mean, low, high)
    return kept.minus(counts[0]).plus(counts[1]), words.minus(lost).plus(more)


def _bound_kept(found: Newcomers, rest: int) -> Estimate:
    """How many of the pages that were not drawn are kept."""
    if not found.drawn:
        return Estimate(rest / 2, 0.0, float(rest))
    alone = sum(found.groups)
    pairs = float(stats.chi2.ppf((1 + _LEVEL) / 2, 2 * (pairs_of(found.groups) + 1)) / 2)  # Poisson's upper bound
    least = _count_groups(found, alone, rest * bound_share(alone, found.drawn)[0], pairs)
    # The share that is kept of the drawn pages, among the drawn ones, is no smaller than that of all among all.
    most = rest * bound_share(len(found.words), found.drawn)[1]
    few = [size for size in found.groups if size < _LARGE_GROUP]
    value = _count_groups(found, sum(few), rest * sum(few) / found.drawn, pairs_of(few))
    return Estimate(min(max(value, least), most), min(least, most), most)


def pairs_of(groups: Sequence[int]) -> int:
    """Pairs within groups.

    >>> pairs_of([1, 2, 3])
    4
    """
    return sum(size * (size - 1) // 2 for size in groups)


def _count_groups(found: Newcomers, alone: int, further: float, pairs: float) -> float:
    """Groups of duplicates among `alone` drawn and `further` other pages, beyond those that are kept already."""
    total = alone + further
    if total <= 0:
        return 0.0
    inside = 2 * pairs * found.pages * (found.pages - 1) / max(found.drawn * (found.drawn - 1), 1)
    groups = total / (1 + inside / total) if found.one_stays else total - inside
    return min(max(groups - len(found.words), 0.0), further)


def _scale(values: Sequence[float], drawn: int, rest: int, usual: float) -> Estimate:
    """What `rest` further pages do, if `drawn` do `values`: no page does more than one."""
    padded = [*values, *[0.0] * max(drawn - len(values), 0)]
    whole = estimate_sum(padded, len(padded) + rest, usual)
    return whole.minus(known(float(sum(values))))


def known(value: float) -> Estimate:
    """A number without uncertainty."""
    return Estimate(value, value, value)


def bound_share(hits: int, drawn: int) -> tuple[float, float]:
    """Clopper-Pearson interval of a share.

    >>> bound_share(0, 0)
    (0.0, 1.0)
    """
    if not drawn:
        return 0.0, 1.0
    tail = (1 - _LEVEL) / 2
    low = stats.beta.ppf(tail, hits, drawn - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, drawn - hits) if hits < drawn else 1.0
    return float(low), float(high)


def estimate_sum(values: Sequence[float], pages: int, usual: float) -> Estimate:
    """The sum over `pages` pages, of which `values` (not negative) are drawn at random.

    `usual` is a plausible value of a page that counts, for samples without any.
    """
    drawn, array = len(values), np.asarray(values, float)
    if drawn >= pages:
        return known(float(array.sum()))
    counting = array[array > 0]
    low, high = bound_share(len(counting), drawn)
    # Pages that were drawn are known; the shares are those of the others.
    rest, seen = pages - drawn, float(array.sum())
    mean, spread = _mean_of(counting, usual)
    value = seen + rest * (seen / drawn if drawn else 0.5 * usual)
    return Estimate(value, seen + rest * low * max(mean - spread, 0.0), seen + rest * high * (mean + spread))


def _mean_of(values: np.typing.NDArray[np.float64], usual: float) -> tuple[float, float]:
    """Mean, and the distance that the mean of other pages may have from it."""
    if len(values) < 2:
        return max(usual, *values.tolist(), 0.0), usual
    deviation = float(values.std(ddof=1))
    return float(values.mean()), float(stats.t.ppf((1 + _LEVEL) / 2, len(values) - 1)) * deviation / len(values) ** 0.5
