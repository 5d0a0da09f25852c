"""Fit the constants of the rules that turn a depth into a run, and test them on a depth that was not fitted.

At some depths the rate and the batch that the rules give are multiplied and divided by a factor. A parabola of loss
over the logarithm of the multiple has its vertex at the better multiple, and the constant is moved by the geometric
mean of the vertices. Then every depth is trained by the fitted rules, and the loss of the deepest is predicted from
the others'. These are trained with several seeds, which together cost less than the deepest: without them nobody can
tell the scatter of three losses from a bend of their law, and an interval is narrow by luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import Field

from trainer.data.batches import BatchSource
from trainer.settings import Settings
from trainer.studies.ladder import count_matmul_parameters, write_points, write_table
from trainer.studies.scaling_laws import Point, ScalingError, predict_by_compute
from trainer.tasks.depth import DepthSettings
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_inputs import PretrainInputs
from trainer.tasks.pretrain_settings import apply_depth, change_settings
from trainer.training.metrics import read_metrics

SWEEP_COLUMNS = ("constant", "depth", "multiple", "loss")  # of sweep.csv


class DialSettings(Settings):
    """Which depths are trained, and how far constants are varied."""

    depths: tuple[int, ...] = Field(
        default=(2, 3, 4, 5), min_length=4, description="depths to train; the deepest is predicted from the others"
    )
    fitted: tuple[int, ...] = Field(default=(2, 3), description="depths at which rate and batch are varied; [] = none")
    seeds: int = Field(default=3, ge=2, description="runs of each depth but the deepest, which differ in their seeds")
    factor: float = Field(default=2.0, gt=1, description="rate and batch are multiplied and divided by this")


def find_vertex(multiples: Sequence[float], losses: Sequence[float]) -> float:
    """The multiple of the lowest loss by a parabola over its logarithm, inside the range of the multiples."""
    x = np.log(multiples)
    quadratic, linear, _ = np.polyfit(x, losses, 2)
    vertex = -linear / (2 * quadratic) if quadratic > 0 else x[int(np.argmin(losses))]
    return float(np.exp(np.clip(vertex, x.min(), x.max())))


def fit_rules(rules: DepthSettings, losses: Mapping[tuple[str, int, float], float]) -> DepthSettings:
    """The rules with rate and batch moved to where losses are lowest. losses: by (constant, depth, multiple)."""
    changes = {}
    for name in ("rate", "batch"):
        depths = sorted({depth for constant, depth, _ in losses if constant == name})
        vertices = []
        for depth in depths:
            found = sorted((m, loss) for (constant, d, m), loss in losses.items() if (constant, d) == (name, depth))
            vertices.append(find_vertex(*zip(*found, strict=True)))
        if vertices:
            changes[name] = getattr(rules, name) * math.exp(float(np.mean(np.log(vertices))))
    return rules.model_copy(update=changes)


class Dial:
    """Trains runs by rules; finished ones are kept in `out`."""

    def __init__(self, opened: PretrainInputs, out: Path, log: Callable[[str], None]) -> None:
        if opened.validation is None:
            raise ScalingError("no document is held out to evaluate on: raise data.held_out")
        self._opened, self._held_out, self._out, self._log = opened, opened.validation, out, log
        self.train = cache(self._train)

    def _train(self, depth: int, rules: DepthSettings, seed: int = 0) -> Point:
        """A run of this depth, with its held-out loss. seed: added to those of the settings."""
        opened, name = self._opened, f"depth-{depth}-rate-{rules.rate:.3g}-batch-{rules.batch:.3g}"
        name += f"-seed-{seed}" if seed else ""
        planned = apply_depth(opened.settings, depth, opened.tokenizer.vocab_size, rules)
        steps = planned.loop.steps
        changes = [f"loop.validate_every={steps}", f"checkpoints.every={steps}"]
        changes += [f"loop.seed={planned.loop.seed + seed}", f"data.seed={planned.data.seed + seed}"]
        settings = change_settings(planned, changes)
        source = BatchSource(opened.source.corpus, settings.data, opened.shares)
        source.shares(steps)  # raises where the data is too small
        length = {"sequence_length": settings.data.sequence_length}
        held_out = BatchSource(self._held_out.corpus, self._held_out.settings.model_copy(update=length))
        out = self._out / name
        pretrain(settings, source, out, tokenizer=opened.tokenizer, validation=held_out, log=lambda _: None)
        last = read_metrics(out)[-1]
        point = Point(count_matmul_parameters(settings.model), last["tokens"], last["validation"]["loss"], name)
        self._log(f"{name}: {point.parameters:,} weights, {point.tokens:,} tokens, held-out loss {point.loss:.4f}")
        return point


def turn_dial(
    opened: PretrainInputs, rules: DepthSettings, settings: DialSettings, out: Path, log: Callable[[str], None] = print
) -> tuple[DepthSettings, list[Point]]:
    """Fit the rules at some depths, then train all depths by them; writes points.csv and sweep.csv."""
    dial = Dial(opened, out, log)
    out.mkdir(parents=True, exist_ok=True)
    losses: dict[tuple[str, int, float], float] = {}
    for depth in settings.fitted:
        for multiple in (1 / settings.factor, 1.0, settings.factor):
            for name in ("rate", "batch"):
                changed = rules.model_copy(update={name: getattr(rules, name) * multiple})
                losses[name, depth, multiple] = dial.train(depth, changed).loss
    _write_sweep(out / "sweep.csv", losses)
    fitted = fit_rules(rules, losses)
    log(f"rate {rules.rate:.4g} -> {fitted.rate:.4g}, batch {rules.batch:.4g} -> {fitted.batch:.4g}")
    *smaller, deepest = sorted(settings.depths)
    points = [dial.train(depth, fitted, seed) for depth in smaller for seed in range(settings.seeds)]
    points.append(dial.train(deepest, fitted))
    write_points(out / "points.csv", points)
    return fitted, points


def _write_sweep(path: Path, losses: Mapping[tuple[str, int, float], float]) -> None:
    write_table(path, SWEEP_COLUMNS, ((*key, loss) for key, loss in losses.items()))


def describe_dial(points: Sequence[Point]) -> str:
    """How well the loss of the deepest run is predicted by a power law of compute through the others."""
    *smaller, deepest = points
    found = predict_by_compute(smaller, deepest.flop)
    inside = "inside" if found.low <= deepest.loss <= found.high else "outside"
    return (
        f"{deepest.name}, predicted from the others: {found.loss:.4f} ({found.low:.4f} to {found.high:.4f}, "
        f"{found.confidence:.0%}); measured: {deepest.loss:.4f}, {found.loss / deepest.loss - 1:+.2%} off, {inside} "
        f"the interval; seeds scatter by {find_seed_scatter(smaller):.2%}"
    )


def find_seed_scatter(points: Sequence[Point]) -> float:
    """Standard deviation of ln(loss) among runs of equal compute, pooled."""
    groups: dict[float, list[float]] = {}
    for point in points:
        groups.setdefault(point.flop, []).append(math.log(point.loss))
    squares = sum(float(np.var(losses)) * len(losses) for losses in groups.values())
    return math.sqrt(squares / max(1, len(points) - len(groups)))
