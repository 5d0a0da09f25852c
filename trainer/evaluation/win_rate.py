"""Win rate of a model's answers against a baseline's, raw and at equal length.

Judges prefer long answers. The length-controlled rate is what a logistic regression predicts at a length difference of
0: logit P(win) = model + slope * tanh(difference of lengths / its standard deviation), after Dubois et al. 2024,
without their term for the difficulty of an instruction. It is a rate of our own and not another benchmark's.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import UserError

RIDGE = 1e-3  # on the slope, in the same unit as a comparison: bounds it where lengths decide every comparison


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A judged pair of answers to one instruction."""

    result: float  # 1 where the model won, 0 where the baseline did, between for ties and means of judges
    length: int  # characters of the model's answer
    baseline_length: int


@dataclass(frozen=True, slots=True)
class WinRate:
    """Shares from 0 to 1."""

    comparisons: int
    rate: float
    standard_error: float
    length_controlled: float
    longer: float  # share of the comparisons in which the model's answer is the longer one


def read_annotations(path: Path) -> list[JudgedPair]:
    """AlpacaEval's files: output_1 is the baseline's, output_2 the model's; preference 1, 2, or 0 and 1.5 for a tie."""
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            items: Any = json.loads(file.read())
        return [_read_comparison(item) for item in items]
    except (OSError, EOFError, ValueError, OverflowError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a list of judged pairs with output_1, output_2 and preference ({error})"
        ) from error


def _read_comparison(item: Any) -> JudgedPair:
    preference = 1.5 if item["preference"] in (0, None) else float(item["preference"])
    if not 1 <= preference <= 2:
        raise ValueError(f"preference {preference}")
    return JudgedPair(preference - 1, len(item["output_2"]), len(item["output_1"]))


def measure_win_rate(comparisons: Sequence[JudgedPair]) -> WinRate:
    """Raises UserError without comparisons.

    With simulated judges and models 0.6 to 1.6 times as long as the baseline, the rate at equal length is that of a
    judge without bias within 0.04 where the bias is smooth (tanh, linear, log ratio, for long or for short), and up to
    0.045 nearer to a half where the judge adds the same for any longer answer. If one side nearly always writes more,
    nothing at equal length was seen: the rate is an extrapolation, and such a step is taken for quality.
    """
    if not comparisons:
        raise UserError("no comparison to take a win rate of")
    results = np.array([comparison.result for comparison in comparisons])
    difference = np.array([comparison.length - comparison.baseline_length for comparison in comparisons], np.float64)
    spread = float(difference.std())
    intercept, _ = fit_length(results, np.tanh(difference / spread) if spread else np.zeros_like(difference))
    return WinRate(
        len(results),
        float(results.mean()),
        float(results.std(ddof=1) / np.sqrt(len(results))) if len(results) > 1 else 0.0,
        float(1 / (1 + np.exp(-intercept))),
        float((difference > 0).mean()),
    )


def fit_length(results: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.float64]:
    """(intercept, slope) of the logistic regression of results in [0, 1] on a length feature, by Newton's method."""
    design = np.stack([np.ones_like(length), length], axis=1)
    ridge = np.diag([1e-6, RIDGE * len(length)])
    found = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-(design @ found)))
        gradient = design.T @ (results - chance) - ridge @ found
        step = np.linalg.solve(design.T @ (design * (chance * (1 - chance))[:, None]) + ridge, gradient)
        found = found + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            break
    return found
