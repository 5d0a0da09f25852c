"""Additive logistic regression: each column counts by a weight and by a step function of its own.

What a weight cannot say, that a value is best in the middle or that the last tenth alone is bad, the steps say. In
cross-validation over domains they raise the AUC of quality from .8939 to .8991 by text alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from classifiers.estimators.logistic import Array, Logistic, fit_logistic

STEPS = 8  # bins of a column, with equally many training rows where their values differ
STEP_RIDGE = 400.0  # penalty of each step between neighboring bins; 200 to 1,000 measure the same


@dataclass(frozen=True)
class Additive:
    """P(1) = sigmoid(linear(x) + sum over columns of values[column][bin of x]); a bin includes its upper cut."""

    linear: Logistic
    cuts: tuple[tuple[float, ...], ...]  # of each column, rising
    values: tuple[tuple[float, ...], ...]  # one more than the cuts

    def log_odds(self, table: Array) -> Array:
        """Of each row of an array of shape (rows, columns)."""
        return np.array([self.log_odds_of_row(row) for row in table.tolist()])

    def log_odds_of_row(self, row: Sequence[float]) -> float:
        total = self.linear.log_odds_of_row(row)
        for value, (cuts, values) in zip(row, self._steps, strict=True):
            total += values[bisect_left(cuts, value)]
        return total

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Additive:
        return cls(Logistic.of_json(stored), *(tuple(map(tuple, stored[name])) for name in ("cuts", "values")))

    def to_json(self) -> dict[str, Any]:
        return {**self.linear.to_json(), "cuts": self.cuts, "values": self.values}

    @cached_property
    def _steps(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        return list(zip(self.cuts, self.values, strict=True))


def fit_additive(table: Array, truth: Array, ridge: float, signs: Sequence[int]) -> Additive:
    """Fit as `fit_logistic` does, which says what `truth` and `signs` are; the signs bind the weights alone."""
    cuts = [tuple(np.unique(np.quantile(column, np.arange(1, STEPS) / STEPS).round(6)).tolist()) for column in table.T]
    above = [column[:, None] > np.array(found) for column, found in zip(table.T, cuts, strict=True)]
    columns, steps = table.shape[1], sum(map(len, cuts))
    wide = np.hstack([table, *above]).astype(np.float64)
    penalties = [ridge] * columns + [STEP_RIDGE] * steps
    fitted = fit_logistic(wide, truth, penalties, [*signs, *[0] * steps], balanced=False)
    weights, means, scales = (values[columns:] for values in (fitted.weights, fitted.mean, fitted.scale))
    heights = np.array(weights) / np.array(scales)
    ends = np.cumsum([len(found) for found in cuts])
    values = [tuple(np.cumsum([0.0, *found]).round(4).tolist()) for found in np.split(heights, ends[:-1])]
    bias = round(fitted.bias - float(heights @ np.array(means)), 6)
    linear = Logistic(fitted.mean[:columns], fitted.scale[:columns], fitted.weights[:columns], bias)
    return Additive(linear, tuple(cuts), tuple(values))
