"""What a run's numbers say, and what to set: a table in the report, with one line for each loss and each fault."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

RECENT = 20  # steps whose mean is called the loss of the run
GAP = 0.1  # nats between training and held-out text that are worth a line
CLIPPED = 0.5  # share of clipped steps from which the learning rate is suspect
DROPPED = 0.01  # share of assignments over an expert's capacity
UNEVEN = 0.1  # load of an expert divided by the even one
_ANOMALY = {
    "not_finite": "lower schedule.learning_rate; loop.precision = float32 shows whether bfloat16 is the cause",
    "spike": "anomalies.spike = skip leaves such steps out; read their documents below",
    "gradient_spike": "anomalies.gradient_spike = skip, or a lower optimizer.max_grad_norm",
}

Row = dict[str, Any]


class Finding(NamedTuple):
    """One line of the table."""

    name: str
    value: str
    advice: str
    is_fault: bool = False


def describe_run(rows: Sequence[Row], info: Row) -> list[Finding]:
    """All findings, of rows with and without anomalies."""
    settings = info["settings"]
    warmup = settings["schedule"]["warmup_steps"]
    good = after_warmup([row for row in rows if "anomaly" not in row], warmup)
    found = [*_losses(good, settings), *_gradients(good, settings), *_experts(good)]
    kinds = Counter(row["anomaly"]["kind"] for row in rows if "anomaly" in row)
    found += [
        Finding(f"Anomalies: {kind.replace('_', ' ')}", _steps(n), _ANOMALY[kind], True) for kind, n in kinds.items()
    ]
    if not good:
        advice = f"schedule.warmup_steps is {warmup:,}; a tenth of loop.steps is usual"
        found.insert(0, Finding("Training loss", "none yet", f"the run is in its warm-up: {advice}"))
    return found


def after_warmup(rows: Sequence[Row], warmup: int) -> list[Row]:
    """The rows of steps at the full learning rate: what comes before is no training to judge."""
    return [row for row in rows if row["step"] > warmup and row["loss"] is not None]


def _losses(rows: Sequence[Row], settings: Row) -> Iterator[Finding]:
    if not rows:
        return
    recent = float(np.mean([row["loss"] for row in rows[-RECENT:]]))
    yield Finding("Training loss", f"{recent:.3f}", _describe_slope([row["loss"] for row in rows]))
    held_out = [(row["step"], row["validation"]["loss"]) for row in rows if "validation" in row]
    if not held_out:
        yield Finding("Held-out loss", "none", "data.held_out sets documents aside; loop.validate_every measures them")
        return
    loss = held_out[-1][1]
    best_step, best = min(held_out, key=lambda pair: pair[1])
    if loss > best + GAP / 2:
        advice = f"it was {best:.3f} at step {best_step:,} and has risen since: fewer loop.steps, or more data"
    elif loss - recent > GAP:
        advice = f"{loss - recent:.2f} above the training loss: fewer repetitions (data.max_repetitions), or more data"
    else:
        advice = "close to the training loss: no sign of learning by heart"
    yield Finding("Held-out loss", f"{loss:.3f}", advice, loss > best + GAP / 2)


def _describe_slope(losses: Sequence[float]) -> str:
    """Whether the loss of the last fifth of the steps is below that of the fifth before, beyond their noise."""
    part = len(losses) // 5
    if part < 4:
        return f"{_steps(len(losses))} after the warm-up: too few for a trend"
    before, after = np.array(losses[-2 * part : -part]), np.array(losses[-part:])
    fall = float(before.mean() - after.mean())
    noise = 2 * math.sqrt((before.var(ddof=1) + after.var(ddof=1)) / part)
    if fall > noise:
        return f"still falls, by {fall:.3f} over the last fifth of the steps: more loop.steps would lower it"
    if fall < -noise:
        return f"rises, by {-fall:.3f} over the last fifth of the steps: lower schedule.learning_rate"
    return f"flat within its noise ({noise:.3f}): more data or a larger model would lower it"


def _gradients(rows: Sequence[Row], settings: Row) -> Iterator[Finding]:
    limit = settings["optimizer"]["max_grad_norm"]
    norms = [row["gradient_norm"] for row in rows if row["gradient_norm"] is not None]
    if limit is None or len(norms) < RECENT:
        return
    share = float(np.mean([norm > limit for norm in norms]))
    if share > CLIPPED:
        advice = "most steps are clipped: lower schedule.learning_rate, or raise optimizer.max_grad_norm"
        yield Finding("Clipped gradients", f"{share:.0%} of steps", advice)


def _experts(rows: Sequence[Row]) -> Iterator[Finding]:
    recent = [row["experts"] for row in rows[-RECENT:] if "experts" in row]
    if not recent:
        return
    load = np.mean([row["load"] for row in recent], axis=0)  # [blocks, experts]
    idle = int((load < UNEVEN / load.shape[1]).sum())
    if idle:
        advice = "raise model.experts.router_aux_loss_coef: they get less than a tenth of an even load"
        yield Finding("Idle experts", f"{idle} of {load.size}", advice, True)
    dropped = float(np.mean([np.mean(row["dropped"]) for row in recent]))
    if dropped > DROPPED:
        yield Finding("Dropped assignments", f"{dropped:.1%}", "raise model.experts.capacity_factor", True)


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"
