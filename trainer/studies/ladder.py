"""A ladder of model sizes, trained by one recipe: the points that scaling laws are fitted to.

Every rung has the recipe's shape: heads of the same width, layers in proportion to the width, the same data and batch.
Steps grow with the size (so many tokens a parameter; or, for isoFLOP curves, as many as a budget of compute pays for),
and the learning rate falls with the width, as the largest stable rate does. The largest rung is then predicted from the
smaller ones and compared with what it came to.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from trainer.config import validated
from trainer.model.settings import ModelSettings
from trainer.model.size import count_parameters
from trainer.settings import Settings
from trainer.studies.scaling_laws import (
    Point,
    Prediction,
    ScalingError,
    fit_law,
    fit_power_law,
    isoflop_minima,
    predict,
    predict_by_compute,
)
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_inputs import PretrainInputs
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.metrics import read_metrics


class LadderSettings(Settings):
    """The rungs."""

    widths: tuple[int, ...] = Field(default=(64, 96, 128, 192, 256), min_length=2)
    tokens_per_parameter: float = Field(default=20.0, gt=0, description="Hoffmann et al. 2022: about 20 is optimal")
    data: tuple[float, ...] = Field(default=(1.0,), min_length=1, description="each size at so many times that data")
    flop: tuple[float, ...] = Field(default=(), description="instead: each size at these budgets, for isoFLOP minima")
    rate_exponent: float = Field(
        default=1.0, ge=0, description="the rate is the recipe's times (its width / width) ^ this"
    )


@dataclass(frozen=True)
class Rung:
    """One run of the ladder."""

    name: str
    recipe: PretrainSettings


def counted_parameters(model: ModelSettings) -> int:
    """Weights that a token meets in matrix products: the look-up table of embeddings is none, a tied head is one."""
    return count_parameters(model, active=True) - (
        0 if model.tie_embeddings else model.padded_vocab_size * model.hidden_size
    )


def rungs(recipe: PretrainSettings, settings: LadderSettings) -> list[Rung]:
    """The runs of a ladder, the cheapest first."""
    base = recipe.model
    found: list[Rung] = []
    for width in settings.widths:
        if width % base.dim_per_head:
            raise ScalingError(f"width {width} is no multiple of the recipe's head width of {base.dim_per_head}")
        heads = width // base.dim_per_head
        shape = {
            "hidden_size": width,
            "layers": max(1, round(base.layers * width / base.hidden_size)),
            "heads": heads,
            "kv_heads": _divisor(heads, heads * base.num_kv_heads / base.heads),
            "head_dim": base.dim_per_head,
            "ffn_hidden_size": None
            if base.ffn_hidden_size is None
            else 64 * max(1, round(base.ffn_hidden_size * width / base.hidden_size / 64)),
        }
        found += [_rung(recipe, shape, width, amount, settings) for amount in settings.flop or settings.data]
    return sorted(found, key=lambda rung: counted_parameters(rung.recipe.model) * rung.recipe.loop.steps)


def _rung(recipe: PretrainSettings, shape: dict[str, Any], width: int, amount: float, settings: LadderSettings) -> Rung:
    values = recipe.model_dump(mode="json")
    values["model"] |= shape
    size = counted_parameters(ModelSettings.model_validate(values["model"]))
    tokens = amount / (6 * size) if settings.flop else amount * settings.tokens_per_parameter * size
    steps = max(1, round(tokens / (recipe.data.batch_size * recipe.data.sequence_length)))
    values["loop"] |= {"steps": steps, "validate_every": steps}
    values["checkpoints"] |= {"every": steps}
    values["schedule"]["learning_rate"] *= (recipe.model.hidden_size / width) ** settings.rate_exponent
    values["schedule"]["warmup_steps"] = min(values["schedule"]["warmup_steps"], steps // 10)
    name = f"width-{width}" + (f"-flop-{amount:g}" if settings.flop else "" if amount == 1 else f"-data-{amount:g}")
    return Rung(name, validated(PretrainSettings, values, f"rung {name}"))


def _divisor(number: int, near: float) -> int:
    """The divisor of a number that is nearest to a value."""
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: abs(d - near))


def climb(opened: PretrainInputs, settings: LadderSettings, out: Path, log: Any = print) -> list[Point]:
    """Trains every rung (one that is finished is not trained again) and writes points.csv."""
    if opened.validation is None:
        raise ScalingError("nothing is held out to measure the rungs on: raise data.held_out")
    planned = rungs(opened.settings, settings)
    opened.source.shares(max(rung.recipe.loop.steps for rung in planned))  # refuses now rather than after hours
    points = []
    for rung in planned:
        pretrain(
            rung.recipe,
            opened.source,
            out / rung.name,
            validation=opened.validation,
            log=lambda _: None,
        )
        last = read_metrics(out / rung.name)[-1]
        size = counted_parameters(rung.recipe.model)
        points.append(Point(size, last["tokens"], last["validation"]["loss"], rung.name))
        log(f"{rung.name}: {size:,} parameters, {last['tokens']:,} tokens, held-out loss {points[-1].loss:.4f}")
    write_points(out / "points.csv", points)
    return points


def write_points(path: Path, points: Sequence[Point]) -> None:
    """The runs as CSV, which `gristmill train scaling fit` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "parameters", "tokens", "loss"])
        writer.writerows([point.name, point.parameters, point.tokens, point.loss] for point in points)


def foretell(points: Sequence[Point]) -> tuple[Point, Prediction]:
    """The costliest run, and what the others say of it."""
    *smaller, largest = sorted(points, key=lambda point: point.flop)
    try:
        return largest, predict(smaller, largest.parameters, largest.tokens)
    except ScalingError:  # too few runs for the law in parameters and data
        return largest, predict_by_compute(smaller, largest.flop)


def describe(points: Sequence[Point]) -> str:
    """What a set of runs says, for a terminal."""
    line = fit_power_law([point.flop for point in points], [point.loss for point in points])
    lines = [f"loss = {line(1.0):.4g} * C^{line.slope:.4f}, R2 {line.r2:.4f}, over {len(points)} runs"]
    for point in isoflop_minima(points):
        ratio = point.tokens / point.parameters
        lines.append(f"isoFLOP {point.name}: best size {point.parameters:.3g}, {ratio:.3g} tokens a parameter")
    try:
        law = fit_law(points)
        lines.append(f"L(N, D) = {law.e:.4f} + {law.a:.4g} / N^{law.alpha:.4f} + {law.b:.4g} / D^{law.beta:.4f}")
    except ScalingError as error:
        lines.append(str(error))
    if len(points) >= 4:
        largest, found = foretell(points)
        inside = "inside" if found.low <= largest.loss <= found.high else "outside"
        lines.append(
            f"the largest run, predicted from the others: {found.loss:.4f} ({found.low:.4f} to {found.high:.4f}, "
            f"{found.confidence:.0%}); it came to {largest.loss:.4f}: "
            f"{found.loss / largest.loss - 1:+.2%} off, {inside}"
        )
    return "\n".join(lines)
