"""Logistic regression, Platt and temperature calibration, in NumPy; parameters are stored as JSON numbers.

fastText's probabilities are not calibrated on unseen sites, because they were fitted on its training rows. So a
logistic layer, fitted on out-of-fold predictions, combines its log-odds with text statistics, and Platt's slope and
offset, fitted on domains unseen by both, calibrate the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


MAX_STEP = 3.0  # largest change of a coefficient per iteration: Newton's method diverges on well separated rows


@dataclass(frozen=True, slots=True)
class Logistic:
    """P(1) = sigmoid(bias + weights . (x - mean) / scale)."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def log_odds(self, table: Array) -> Array:
        centered: Array = (table - np.array(self.mean)) / np.array(self.scale)
        # Summed column by column: a matrix product may add in another order on another machine or batch size.
        total: Array = np.full(len(table), self.bias)
        for column, weight in zip(centered.T, self.weights, strict=True):
            total = total + weight * column
        return total

    def log_odds_of_row(self, row: Sequence[float]) -> float:
        """The same for one row, a tenth of the time."""
        total = self.bias
        for value, mean, scale, weight in zip(row, self.mean, self.scale, self.weights, strict=True):
            total += weight * ((value - mean) / scale)
        return total

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Logistic:
        return cls(tuple(stored["mean"]), tuple(stored["scale"]), tuple(stored["weights"]), stored["bias"])

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean, "scale": self.scale, "weights": self.weights, "bias": self.bias}


def sigmoid(log_odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -40, 40))), dtype=np.float64)


def log_odds_of(probabilities: Array, floor: float = 1e-4) -> Array:
    clipped = np.clip(probabilities, floor, 1 - floor)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def fit_logistic(
    table: Array,
    truth: Array,
    ridge: float | Sequence[float] = 1.0,
    signs: Sequence[int] = (),
    *,
    balanced: bool = True,
) -> Logistic:
    """Ridge-penalized logistic regression by Newton's method; rounded: the same in text and memory.

    `ridge` is one penalty, or one for each column.

    `truth` is 0, 1 or between: with `balanced` off, the model estimates its mean.

    `signs` forbids a weight to be negative (1) or positive (-1), or leaves it free (0): a column whose fitted weight
    contradicts its sign is left out. With little data such a weight is an artifact of the collection.
    """
    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    balance = _balance(truth) if balanced else np.ones(len(truth))
    allowed = np.ones(table.shape[1], dtype=bool)
    while True:
        weights, bias = _newton((table - mean) / scale * allowed, truth, balance, ridge)
        wrong = np.array([sign * weight < 0 for sign, weight in zip(signs, weights, strict=True)] if len(signs) else [])
        if not wrong.any():
            break
        allowed &= ~wrong
    rounded = [tuple(round(float(v), 6) for v in values) for values in (mean, scale, weights * allowed)]
    return Logistic(rounded[0], rounded[1], rounded[2], round(bias, 6))


def _balance(truth: Array) -> Array:
    """Row weights under which both classes weigh the same."""
    share = float(truth.mean())
    return np.where(truth == 1, 0.5 / max(share, 1e-9), 0.5 / max(1 - share, 1e-9))


def _newton(table: Array, truth: Array, balance: Array, ridge: float | Sequence[float]) -> tuple[Array, float]:
    design = np.c_[np.ones(len(table)), table]
    penalty = np.diag(np.r_[1e-6, np.broadcast_to(ridge, table.shape[1])])
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        p = sigmoid(design @ beta)
        gradient = design.T @ (balance * (p - truth)) + penalty @ beta
        hessian = (design * (balance * p * (1 - p))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step * min(1.0, MAX_STEP / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return beta[1:], float(beta[0])


def fit_platt(log_odds: Array, truth: Array) -> tuple[float, float]:
    """(slope, offset) such that sigmoid(slope * log_odds + offset) is calibrated on these rows, with balanced classes.

    Platt's targets lie a little inside 0 and 1, so that the slope stays finite on perfectly separated rows.
    """
    mean, scale = float(log_odds.mean()), max(float(log_odds.std()), 1e-9)
    positives, negatives = float(truth.sum()), float(len(truth) - truth.sum())
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weights, bias = _newton(((log_odds - mean) / scale)[:, None], target, _balance(truth), ridge=1e-6)
    slope = float(weights[0]) / scale
    return round(slope, 6), round(bias - slope * mean, 6)


def fit_temperature(probabilities: Array, truth: NDArray[np.int64]) -> float:
    """The exponent for several-class probabilities that makes the truth most likely; golden-section search."""
    logs = np.log(np.clip(probabilities, 1e-6, 1))

    def loss(exponent: float) -> float:
        scaled = logs * exponent
        norm = np.log(np.exp(scaled - scaled.max(axis=1, keepdims=True)).sum(axis=1)) + scaled.max(axis=1)
        return float((norm - scaled[np.arange(len(truth)), truth]).mean())

    low, high, ratio = 0.05, 5.0, (5**0.5 - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round((low + high) / 2, 4)


def with_temperature(probabilities: Array, exponent: float) -> Array:
    """Rows raised to the exponent and normalized again."""
    powered = np.clip(probabilities, 1e-6, 1) ** exponent
    return np.asarray(powered / powered.sum(axis=1, keepdims=True), dtype=np.float64)
