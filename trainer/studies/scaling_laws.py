"""Scaling laws: loss against parameters, data and compute, fitted, extrapolated with an interval, and compared.

    L(N, D) = E + A / N^alpha + B / D^beta        Hoffmann et al. 2022, equation 2; C = 6 N D

E, A and B are fitted as logarithms to log-losses, under a Huber loss that limits outliers (delta 0.001), from many
starts, since the surface has local minima. The method is that of Hoffmann et al. (appendix D.2) as corrected by
Besiroglu et al. 2024 ("Chinchilla Scaling: A replication attempt"): the sum of the errors, not their mean, and an
optimizer that converges.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import logsumexp
from scipy.stats import t as student

from trainer.errors import UserError

DELTA = 1e-3  # of the Huber loss on log-losses
STARTS = tuple(itertools.product((0.0, 8.0), (0.0, 8.0), (-1.0, 0.5), (0.3, 0.8), (0.3, 0.8)))  # a, b, e, alpha, beta
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One finished training run."""

    parameters: float
    tokens: float
    loss: float
    name: str = ""

    @property
    def flop(self) -> float:
        """6 N D."""
        return 6 * self.parameters * self.tokens


@dataclass(frozen=True, slots=True)
class Law:
    """L(N, D) = e + a / N^alpha + b / D^beta."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats per token."""
        return float(self.e + self.a / parameters**self.alpha + self.b / tokens**self.beta)

    def optimum(self, flop: float) -> Point:
        """Size and data of the lowest loss for `flop`, in closed form with C = 6 N D."""
        ratio = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (flop / 6) ** (self.beta / (self.alpha + self.beta))
        tokens = flop / 6 / parameters
        return Point(parameters, tokens, self.loss(parameters, tokens))


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """y = exp(intercept) * x^slope, a straight line in logarithms."""

    slope: float
    intercept: float
    r2: float

    def __call__(self, x: float) -> float:
        return math.exp(self.intercept + self.slope * math.log(x))


@dataclass(frozen=True, slots=True)
class Prediction:
    """The loss of another run: best estimate, and the interval that contains it with the stated confidence."""

    loss: float
    low: float
    high: float
    confidence: float


class ScalingError(UserError):
    """No law can be fitted to these runs: why, and what is needed."""


def fit_law(points: Sequence[Point], starts: Sequence[tuple[float, ...]] = STARTS, tolerance: float = 1e-14) -> Law:
    """The law fitted to runs; its five constants need six runs that differ in size and in data."""
    if len(points) < 6 or len({p.parameters for p in points}) < 3 or len({p.tokens for p in points}) < 3:
        raise ScalingError(f"{len(points)} runs: L(N, D) needs at least 6, of at least 3 sizes and 3 amounts of data")
    sizes, tokens, losses = _logarithms(points)
    fits = [_descend(np.array(start), sizes, tokens, losses, 1e-6) for start in starts]
    _, best = min(fits, key=lambda fit: fit[0])
    return _build_law(_descend(best, sizes, tokens, losses, tolerance)[1])


def _logarithms(points: Sequence[Point]) -> tuple[Array, Array, Array]:
    rows = np.log([[point.parameters, point.tokens, point.loss] for point in points])
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _build_law(x: Array) -> Law:
    return Law(e=math.exp(x[2]), a=math.exp(x[0]), b=math.exp(x[1]), alpha=float(x[3]), beta=float(x[4]))


def _descend(start: Array, sizes: Array, tokens: Array, losses: Array, tolerance: float) -> tuple[float, Array]:
    """Error and constants (a, b, e in logarithms, alpha, beta) at the minimum that a start leads to."""

    def terms(x: Array) -> Array:
        return np.stack([x[0] - x[3] * sizes, x[1] - x[4] * tokens, np.full_like(sizes, x[2])])

    def residuals(x: Array) -> Array:
        differences: Array = logsumexp(terms(x), axis=0) - losses
        return differences

    def jacobian(x: Array) -> Array:
        shares = np.exp(terms(x) - logsumexp(terms(x), axis=0))
        return np.stack([shares[0], shares[1], shares[2], -shares[0] * sizes, -shares[1] * tokens], axis=1)

    found = least_squares(
        residuals,
        start,
        jacobian,
        loss="huber",
        f_scale=DELTA,
        x_scale="jac",
        xtol=tolerance,
        ftol=tolerance,
        gtol=tolerance,
    )
    return float(found.cost), found.x


def resample_laws(points: Sequence[Point], count: int = 200, seed: int = 0) -> list[Law]:
    """Laws fitted to bootstrap samples of the runs, each fit started at the law of all runs."""
    best = fit_law(points)
    start = (math.log(best.a), math.log(best.b), math.log(best.e), best.alpha, best.beta)
    generator = np.random.default_rng(seed)
    laws: list[Law] = []
    while len(laws) < count:
        sample = [points[index] for index in generator.integers(0, len(points), len(points))]
        try:
            laws.append(fit_law(sample, [start], 1e-6))
        except ScalingError:  # too few different runs in the sample
            continue
    return laws


def predict_loss(points: Sequence[Point], parameters: float, tokens: float, confidence: float = 0.9) -> Prediction:
    """The loss of a run by L(N, D); the interval is from resampled runs and their residuals."""
    law = fit_law(points)
    generator = np.random.default_rng(1)
    noise = np.array([math.log(point.loss / law.loss(point.parameters, point.tokens)) for point in points])
    noise *= math.sqrt(len(points) / max(len(points) - 5, 1))  # five constants were fitted to them
    draws = [other.loss(parameters, tokens) * math.exp(generator.choice(noise)) for other in resample_laws(points)]
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Prediction(law.loss(parameters, tokens), float(low), float(high), confidence)


def predict_by_compute(points: Sequence[Point], flop: float, confidence: float = 0.9) -> Prediction:
    """The loss at another compute by a power law; the interval allows for a bend of it.

    It spans Student's prediction intervals of a straight line and of a parabola in logarithms. The line's alone is
    right for straight lines only: a bend that few runs cannot show moves an extrapolation by many times their scatter.
    Runs of equal compute and different seeds tell noise from bend.
    """
    sizes = len({point.flop for point in points})
    if sizes < 3 or len(points) < 4:
        raise ScalingError(
            f"{len(points)} runs of {sizes} computes: a prediction with an interval needs at least 4 runs of 3 computes"
        )
    x = np.log([point.flop for point in points])
    losses, at = np.log([point.loss for point in points]), math.log(flop) - x.mean()
    ends = [_prediction_interval(x - x.mean(), losses, at, degree, confidence) for degree in (1, 2)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return Prediction(_fit_against_flop(points)(flop), math.exp(low), math.exp(high), confidence)


def _prediction_interval(x: Array, y: Array, at: float, degree: int, confidence: float) -> tuple[float, float]:
    """Where a polynomial through the points puts another point, with its noise."""
    design, row = np.vander(x, degree + 1), np.vander([at], degree + 1)[0]
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    free = len(y) - degree - 1
    variance = float(((y - design @ coefficients) ** 2).sum()) / free
    half = student.ppf((1 + confidence) / 2, free) * math.sqrt(
        variance * (1 + float(row @ np.linalg.inv(design.T @ design) @ row))
    )
    middle = float(row @ coefficients)
    return middle - half, middle + half


def fit_power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """A straight line through the logarithms of x and y, by least squares."""
    if len(x) < 2 or len(set(x)) < 2:
        raise ScalingError("a power law needs at least two runs of different compute")
    u, v = np.log(x), np.log(y)
    slope, intercept = np.polyfit(u, v, 1)
    variance = ((v - v.mean()) ** 2).sum()
    r2 = 1 - ((v - slope * u - intercept) ** 2).sum() / variance if variance else 1.0
    return PowerLaw(float(slope), float(intercept), float(r2))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two families of runs: the power law of loss against compute of each, and intervals of the differences."""

    first: PowerLaw
    second: PowerLaw
    slope_difference: tuple[float, float]  # 90% interval of second minus first
    intercept_difference: tuple[float, float]  # at the geometric mean of the compute, in ln(loss)


def compare_families(first: Sequence[Point], second: Sequence[Point], count: int = 500, seed: int = 0) -> Comparison:
    """Compares how two architectures or datasets scale: slope, and loss at equal compute; intervals by bootstrap."""
    middle = float(np.exp(np.mean([math.log(point.flop) for point in [*first, *second]])))
    generator = np.random.default_rng(seed)
    differences: list[tuple[float, float]] = []
    while len(differences) < count:
        laws = []
        for points in (first, second):
            sample = [points[index] for index in generator.integers(0, len(points), len(points))]
            if len({point.flop for point in sample}) < 2:
                break
            laws.append(_fit_against_flop(sample))
        if len(laws) == 2:
            differences.append((laws[1].slope - laws[0].slope, math.log(laws[1](middle) / laws[0](middle))))
    low, high = np.quantile(np.array(differences), [0.05, 0.95], axis=0)
    return Comparison(
        _fit_against_flop(first),
        _fit_against_flop(second),
        (float(low[0]), float(high[0])),
        (float(low[1]), float(high[1])),
    )


def _fit_against_flop(points: Sequence[Point]) -> PowerLaw:
    return fit_power_law([point.flop for point in points], [point.loss for point in points])


def find_isoflop_minima(points: Sequence[Point], tolerance: float = 0.2) -> list[Point]:
    """The best size of each compute budget with at least three sizes: the vertex of a parabola of loss over log-size.

    This is approach 2 of Hoffmann et al. Runs belong to one budget if none costs more than `tolerance` above the
    cheapest. A budget whose parabola opens downwards, or whose vertex lies outside its sizes, is left out.
    """
    groups: list[list[Point]] = []
    for point in sorted(points, key=lambda point: point.flop):
        if groups and point.flop <= groups[-1][0].flop * (1 + tolerance):
            groups[-1].append(point)
        else:
            groups.append([point])
    minima = []
    for group in groups:
        x = np.log([point.parameters for point in group])
        if len(set(x)) < 3:
            continue
        quadratic, linear, constant = np.polyfit(x, [point.loss for point in group], 2)
        vertex = -linear / (2 * quadratic) if quadratic > 0 else math.inf
        if x.min() <= vertex <= x.max():
            flop = math.exp(np.mean([math.log(point.flop) for point in group]))
            size = math.exp(vertex)
            minima.append(
                Point(size, flop / 6 / size, float(constant - linear**2 / (4 * quadratic)), f"{flop:.3g} FLOP")
            )
    return minima


def read_points(path: Path) -> list[Point]:
    """Runs from a CSV file: columns parameters, tokens (or flop), loss; or those of Epoch AI's Chinchilla data."""
    names = {"model size": "parameters", "training flop": "flop"}
    points = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            values = {names.get(key.lower(), key.lower()): value for key, value in row.items() if key}
            try:
                size, loss = float(values["parameters"]), float(values["loss"])
                tokens = float(values["tokens"]) if values.get("tokens") else float(values["flop"]) / 6 / size
            except (KeyError, ValueError, TypeError) as error:
                raise ScalingError(
                    f"{path}:{number}: a row needs parameters, loss, and tokens or flop ({error!r})"
                ) from error
            if not (size > 0 and tokens > 0 and loss > 0 and math.isfinite(size * tokens * loss)):
                raise ScalingError(f"{path}:{number}: parameters, tokens and loss must be above 0")
            points.append(Point(size, tokens, loss, values.get("name") or ""))
    return points


def drop_highest_losses(points: Sequence[Point], count: int) -> list[Point]:
    """The runs without the `count` highest losses, in their order."""
    cut = sorted((point.loss for point in points), reverse=True)[:count]
    return [point for point in points if not cut or point.loss < cut[-1]]
