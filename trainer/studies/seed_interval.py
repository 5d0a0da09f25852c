"""The mean over the seeds of a run with its interval: seeds alone make as much difference as many changes do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student


class MeanInterval(NamedTuple):
    """A mean over runs, with its 90% interval by Student's t, as far as values are possible; infinite for one run."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> MeanInterval:
    """The mean of a measure over runs that differ in their seed, or of its differences between pairs of them.

    least, most: between which every value of the measure lies.

    >>> mean_interval([0.25]).high
    inf
    >>> mean_interval([0.75, 0.95], 0, 1).high
    1
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return MeanInterval(mean, -math.inf, math.inf)
    half = float(student.ppf(0.95, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return MeanInterval(mean, max(least, mean - half), min(most, mean + half))
