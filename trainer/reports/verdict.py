"""The verdict on a finished run: one line from its own numbers, which says what got better and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RECENT = 20  # steps that a mean of training numbers is taken over
UNCHANGED = 0.005  # relative change below which nothing is said to have happened

Row = dict[str, Any]


class RunMeasure(NamedTuple):
    """The number that a run is judged by, first and last."""

    name: str
    first: float | None  # None where it was measured once only
    last: float
    higher_is_better: bool


def derive_verdict(rows: Sequence[Row]) -> str:
    """The verdict, from the rows of metrics.jsonl.

    >>> first = {"step": 1, "loss": 4.1, "before": {"loss": 4.0}}
    >>> derive_verdict([first, {"step": 2, "loss": 2.9, "validation": {"loss": 3.0}}])
    'better: held-out loss 4 -> 3'
    """
    if not rows:
        return "no step was taken"
    measure = find_measure(rows)
    if measure is None:
        return "diverged: the last loss is not a finite number"
    parts = [_describe(measure)]
    last: Row = next((row["validation"] for row in reversed(rows) if "validation" in row), {})
    if "bits_per_byte" in last:
        parts.append(f"{last['bits_per_byte']:.3f} bits per byte")
    if "length_accuracy" in last:
        parts.append(f"lengths alone have {last['length_accuracy']:.4g}")
    parts += _find_earlier_best(rows, measure)
    if anomalies := sum("anomaly" in row for row in rows):
        parts.append(f"{anomalies:,} anomal{'y' if anomalies == 1 else 'ies'}")
    return "; ".join(parts)


def find_measure(rows: Sequence[Row]) -> RunMeasure | None:
    """The reward or the accuracy of held-out data if they are measured, else its loss, else the training loss."""
    found = [row["validation"] for row in rows if "validation" in row]
    if "before" in rows[0]:
        found.insert(0, rows[0]["before"])
    for name, higher in (("reward", True), ("accuracy", True), ("loss", False)):
        values = [part[name] for part in found if _is_finite(part.get(name))]
        if values:
            return RunMeasure(f"held-out {name}", values[0] if len(values) > 1 else None, values[-1], higher)
    if "reward" in rows[-1]:
        return RunMeasure("reward", *_ends([row["reward"] for row in rows]), True)
    losses = [row["loss"] for row in rows]
    if not _is_finite(losses[-1]):
        return None
    return RunMeasure("training loss", *_ends([loss for loss in losses if _is_finite(loss)]), False)


def _ends(values: Sequence[float]) -> tuple[float | None, float]:
    """Means over the first and the last steps."""
    count = min(RECENT, max(len(values) // 4, 1))
    first = float(np.mean(values[:count])) if len(values) > 1 else None
    return first, float(np.mean(values[-count:]))


def _describe(measure: RunMeasure) -> str:
    if measure.first is None:
        return f"{measure.name} {measure.last:.4g}"
    change = measure.last - measure.first
    if abs(change) <= UNCHANGED * abs(measure.first):
        word = "unchanged"
    else:
        word = "better" if (change > 0) == measure.higher_is_better else "worse"
    return f"{word}: {measure.name} {measure.first:.4g} -> {measure.last:.4g}"


def _find_earlier_best(rows: Sequence[Row], measure: RunMeasure) -> list[str]:
    """Where an earlier checkpoint was better on held-out data than the last one."""
    name = measure.name.removeprefix("held-out ")
    sign = 1 if measure.higher_is_better else -1
    tested = [(sign * row["validation"][name], row["step"]) for row in rows if name in row.get("validation", {})]
    if name == measure.name or len(tested) < 2:
        return []
    best, step = max(tested, key=lambda pair: (pair[0], pair[1]))
    worse = best - sign * measure.last > UNCHANGED * abs(measure.last)
    return [f"best at step {step:,}: {sign * best:.4g}"] if worse else []


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
