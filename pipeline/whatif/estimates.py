"""The sum of a number over all pages of a group from a sample of them, with an interval that covers it.

A sample of all pages gives the sum itself. Otherwise the interval is wide on purpose: 99% for the number of pages that
count (Clopper and Pearson, exact for any size), times the largest plausible mean of those that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_LEVEL = 0.99


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sum with the interval that covers it."""

    value: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def plus(self, other: Estimate) -> Estimate:
        """The sum of two numbers; the interval is that of the worst cases of both."""
        return Estimate(self.value + other.value, self.low + other.low, self.high + other.high)

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two numbers, with the worst cases of both."""
        return Estimate(self.value - other.value, self.low - other.high, self.high - other.low)


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
