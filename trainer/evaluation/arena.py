"""Rank models by their battles: Bradley-Terry with bootstrap intervals, and Elo in the order of the battles.

A battle is two models and who won: `a`, `b` or `tie`. Bradley-Terry is the logistic regression of the winner on who
took part; a tie is half a win for either. Its scores do not depend on the order of the battles, Elo's do (Chiang et
al. 2024).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import UserError

SCALE = 400 / np.log(10)  # Elo points of one logit
MEAN = 1000.0  # of all models
STEP = 4.0  # Elo's K, as in the first Chatbot Arena: many battles, small steps
RIDGE = 1e-6
ROUNDS = 200  # of the bootstrap
RESULTS = {"a": 1.0, "b": 0.0, "tie": 0.5}


@dataclass(frozen=True, slots=True)
class Battle:
    """One comparison; `result` is 1 where a won, 0 where b won, 0.5 for a tie."""

    a: str
    b: str
    result: float


@dataclass(frozen=True, slots=True)
class Rank:
    """A model's strength in Elo points (mean 1,000), by Bradley-Terry with its 95% interval and by Elo."""

    model: str
    battles: int
    score: float
    low: float
    high: float
    elo: float


def read_battles(path: Path) -> list[Battle]:
    """JSON lines with `a`, `b` and `winner` (a, b or tie). Raises UserError with the line's number."""
    battles = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            item: Any = json.loads(line)
            battle = Battle(str(item["a"]), str(item["b"]), RESULTS[item["winner"]])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: expected a, b and winner (a, b or tie), not {error}") from None
        if battle.a == battle.b:
            raise UserError(f"{path}, line {number}: {battle.a} cannot battle itself")
        battles.append(battle)
    return battles


def rank_models(battles: Sequence[Battle], rounds: int = ROUNDS, seed: int = 0) -> list[Rank]:
    """The models, best first. Raises UserError without battles."""
    if not battles:
        raise UserError("no battle to rank models by")
    models = sorted({name for battle in battles for name in (battle.a, battle.b)})
    place = {name: number for number, name in enumerate(models)}
    a, b = (np.array([place[getattr(battle, side)] for battle in battles]) for side in ("a", "b"))
    results = np.array([battle.result for battle in battles])
    strengths = fit_bradley_terry(a, b, results, len(models))
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(0, len(battles), len(battles)) for _ in range(rounds))
    found = np.array([fit_bradley_terry(a[index], b[index], results[index], len(models)) for index in drawn])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    elo = compute_elo(a, b, results, len(models))
    counts = np.bincount(np.concatenate([a, b]), minlength=len(models))
    points = MEAN + SCALE * np.array([strengths, low, high])  # [3, models]
    ranks = [
        Rank(name, int(counts[n]), float(points[0, n]), float(points[1, n]), float(points[2, n]), float(elo[n]))
        for n, name in enumerate(models)
    ]
    return sorted(ranks, key=lambda rank: (-rank.score, rank.model))


def fit_bradley_terry(
    a: NDArray[np.int64], b: NDArray[np.int64], results: NDArray[np.float64], models: int
) -> NDArray[np.float64]:
    """Strengths in logits with mean 0 [models], by Newton's method; the ridge bounds a model that always wins."""
    strengths = np.zeros(models)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-(strengths[a] - strengths[b])))
        surprise = np.bincount(a, results - chance, models) - np.bincount(b, results - chance, models)
        gradient = surprise - RIDGE * strengths
        curvature = np.zeros((models, models))
        weight = chance * (1 - chance)
        for i, j, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
            np.add.at(curvature, (i, j), sign * weight)
        step = np.linalg.solve(curvature + RIDGE * np.eye(models), gradient)
        strengths = strengths + np.clip(step, -5, 5)  # far from the optimum Newton's steps are too long
        if np.abs(step).max() < 1e-10:
            break
    centered: NDArray[np.float64] = strengths - strengths.mean()
    return centered


def compute_elo(
    a: NDArray[np.int64], b: NDArray[np.int64], results: NDArray[np.float64], models: int
) -> NDArray[np.float64]:
    """Ratings after all battles in turn [models]."""
    ratings = np.full(models, MEAN)
    for first, second, result in zip(a, b, results, strict=True):
        change = STEP * (result - 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / 400)))
        ratings[first] += change
        ratings[second] -= change
    return ratings


def format_ranks(ranks: Sequence[Rank]) -> str:
    """A table for a terminal."""
    width = max(len("model"), *(len(rank.model) for rank in ranks))
    lines = [f"{'model':<{width}}{'battles':>9}{'score':>8}{'95% interval':>16}{'Elo':>8}"]
    for rank in ranks:
        interval = f"{rank.low:,.0f} to {rank.high:,.0f}"
        lines.append(f"{rank.model:<{width}}{rank.battles:>9,}{rank.score:>8,.0f}{interval:>16}{rank.elo:>8,.0f}")
    return "\n".join(lines)
