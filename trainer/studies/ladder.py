"""A ladder: one run repeated at several model sizes, to fit scaling laws to.

Every rung has the shape of the base run: equal head_dim, layers in proportion to the hidden size, equal data and batch.
Steps grow with the size (a fixed number of tokens per parameter; or, for isoFLOP curves, what a compute budget
allows), and the learning rate falls with the hidden size, as the largest stable rate does. The largest rung is then
predicted from the smaller ones and compared with its measured loss.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from trainer.config import validate_settings
from trainer.files import write_atomically
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_parameters
from trainer.settings import Settings
from trainer.studies.scaling_laws import (
    Point,
    Prediction,
    ScalingError,
    find_isoflop_minima,
    fit_law,
    fit_power_law,
    predict_by_compute,
    predict_loss,
)
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_inputs import PretrainInputs
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.metrics import read_metrics

_COLUMNS = ("name", "parameters", "tokens", "loss")  # of points.csv


class LadderSettings(Settings):
    """Sizes and lengths of the runs of a ladder. Source of tokens_per_parameter: Hoffmann et al. 2022."""

    hidden_sizes: tuple[int, ...] = Field(
        default=(64, 96, 128, 192, 256), min_length=2, description="model.hidden_size of each rung"
    )
    tokens_per_parameter: float = Field(
        default=20.0, gt=0, description="training tokens per parameter; about 20 is compute-optimal"
    )
    data: tuple[float, ...] = Field(
        default=(1.0,), min_length=1, description="multiples of tokens_per_parameter at which each size is trained"
    )
    flop: tuple[float, ...] = Field(
        default=(),
        description="compute budgets in FLOP at which each size is trained, in place of `data`; for isoFLOP minima",
    )
    rate_exponent: float = Field(
        default=1.0,
        ge=0,
        description="exponent e of the learning rate: base rate * (base hidden size / hidden size) ^ e",
    )


@dataclass(frozen=True)
class Rung:
    """One run of the ladder."""

    name: str
    settings: PretrainSettings


def count_matmul_parameters(model: ModelSettings) -> int:
    """Weights in the matrix products of a token: not those of untied input embeddings, which are looked up."""
    embeddings = 0 if model.tie_embeddings else model.padded_vocab_size * model.hidden_size
    return count_parameters(model, active=True) - embeddings


def plan_rungs(run_settings: PretrainSettings, settings: LadderSettings) -> list[Rung]:
    """The runs of a ladder, the cheapest first."""
    found = [
        _plan_rung(run_settings, _scale_shape(run_settings.model, hidden_size), amount, settings)
        for hidden_size in settings.hidden_sizes
        for amount in settings.flop or settings.data
    ]
    return sorted(found, key=lambda rung: count_matmul_parameters(rung.settings.model) * rung.settings.loop.steps)


def _scale_shape(base: ModelSettings, hidden_size: int) -> dict[str, Any]:
    """The base run's shape at another hidden size."""
    if hidden_size % base.dim_per_head:
        raise ScalingError(f"hidden size {hidden_size} is not a multiple of model.head_dim, {base.dim_per_head}")
    heads = hidden_size // base.dim_per_head
    ffn = base.ffn_hidden_size
    return {
        "hidden_size": hidden_size,
        "layers": max(1, round(base.layers * hidden_size / base.hidden_size)),
        "heads": heads,
        "kv_heads": _nearest_divisor(heads, heads * base.num_kv_heads / base.heads),
        "head_dim": base.dim_per_head,
        "ffn_hidden_size": None if ffn is None else 64 * max(1, round(ffn * hidden_size / base.hidden_size / 64)),
    }


def _plan_rung(run_settings: PretrainSettings, shape: dict[str, Any], amount: float, settings: LadderSettings) -> Rung:
    """One run; `amount` is its compute budget in FLOP where the settings give budgets, else a multiple of the data."""
    values = run_settings.model_dump(mode="json")
    values["model"] |= shape
    size = count_matmul_parameters(ModelSettings.model_validate(values["model"]))
    tokens = amount / (6 * size) if settings.flop else amount * settings.tokens_per_parameter * size
    steps = max(1, round(tokens / (run_settings.data.batch_size * run_settings.data.sequence_length)))
    values["loop"] |= {"steps": steps, "validate_every": steps}
    values["checkpoints"] |= {"every": steps}
    hidden_size = shape["hidden_size"]
    values["schedule"]["learning_rate"] *= (run_settings.model.hidden_size / hidden_size) ** settings.rate_exponent
    values["schedule"]["warmup_steps"] = min(values["schedule"]["warmup_steps"], steps // 10)
    suffix = f"-flop-{amount:g}" if settings.flop else "" if amount == 1 else f"-data-{amount:g}"
    name = f"hidden-{hidden_size}{suffix}"
    return Rung(name, validate_settings(PretrainSettings, values, f"rung {name}"))


def _nearest_divisor(number: int, near: float) -> int:
    """The divisor of a number that is nearest to a value."""
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: abs(d - near))


def train_ladder(
    opened: PretrainInputs, settings: LadderSettings, out: Path, log: Callable[[str], None] = print
) -> list[Point]:
    """Trains every rung (a finished one is kept) and writes points.csv."""
    if opened.validation is None:
        raise ScalingError("no document is held out to evaluate the rungs on: raise data.held_out")
    planned = plan_rungs(opened.settings, settings)
    opened.source.shares(
        max(rung.settings.loop.steps for rung in planned)
    )  # raises now, not after hours, where the data is too small
    points = []
    for rung in planned:
        pretrain(
            rung.settings,
            opened.source,
            out / rung.name,
            tokenizer=opened.tokenizer,
            validation=opened.validation,
            log=lambda _: None,
        )
        last = read_metrics(out / rung.name)[-1]
        size = count_matmul_parameters(rung.settings.model)
        points.append(Point(size, last["tokens"], last["validation"]["loss"], rung.name))
        log(f"{rung.name}: {size:,} parameters, {last['tokens']:,} tokens, held-out loss {points[-1].loss:.4f}")
    write_points(out / "points.csv", points)
    return points


def write_points(path: Path, points: Sequence[Point]) -> None:
    """The runs as CSV, which `gristmill train scaling fit` reads."""
    write_table(path, _COLUMNS, ([point.name, point.parameters, point.tokens, point.loss] for point in points))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, *rows])
    write_atomically(path, text.getvalue())


def is_table(path: Path, columns: Sequence[str] = _COLUMNS) -> bool:
    """Whether a file is CSV with these columns, such as `write_points` writes."""
    try:
        with path.open("rb") as file:
            return file.readline(100).split() == [",".join(columns).encode()]
    except OSError:
        return False


def predict_largest(points: Sequence[Point]) -> tuple[Point, Prediction]:
    """The run with the most compute, and its loss predicted from the other runs."""
    *smaller, largest = sorted(points, key=lambda point: point.flop)
    try:
        return largest, predict_loss(smaller, largest.parameters, largest.tokens)
    except ScalingError:  # too few runs for L(N, D)
        return largest, predict_by_compute(smaller, largest.flop)


def describe_points(points: Sequence[Point]) -> str:
    """The laws that a set of runs gives, for a terminal."""
    line = fit_power_law([point.flop for point in points], [point.loss for point in points])
    lines = [f"loss = {line(1.0):.4g} * C^{line.slope:.4f}, R2 {line.r2:.4f}, over {len(points)} runs"]
    for point in find_isoflop_minima(points):
        ratio = point.tokens / point.parameters
        lines.append(f"isoFLOP {point.name}: best size {point.parameters:.3g}, {ratio:.3g} tokens per parameter")
    try:
        law = fit_law(points)
        lines.append(f"L(N, D) = {law.e:.4f} + {law.a:.4g} / N^{law.alpha:.4f} + {law.b:.4g} / D^{law.beta:.4f}")
    except ScalingError as error:
        lines.append(str(error))
    if len(points) >= 5:
        largest, found = predict_largest(points)
        inside = "inside" if found.low <= largest.loss <= found.high else "outside"
        lines.append(
            f"the largest run, predicted from the others: {found.loss:.4f} ({found.low:.4f} to {found.high:.4f}, "
            f"{found.confidence:.0%}); measured: {largest.loss:.4f}, "
            f"{found.loss / largest.loss - 1:+.2%} off, {inside} the interval"
        )
    return "\n".join(lines)
