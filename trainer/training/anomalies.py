"""Loss spikes and NaN: detected before the optimizer step; the response is a setting."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field, model_validator

from trainer.settings import Settings


class AnomalyAction(StrEnum):
    """Response to an anomalous step. Its documents are written to anomalies.jsonl in any case."""

    REPORT = "report"  # update the weights as usual
    SKIP = "skip"  # do not update the weights, and continue with the next batch
    STOP = "stop"  # write a checkpoint of the weights before the step, and end the run


class AnomalyKind(StrEnum):
    """What is anomalous about a step."""

    NOT_FINITE = "not_finite"  # loss or gradient norm is infinite or NaN
    SPIKE = "spike"  # loss far above that of the last steps
    GRADIENT_SPIKE = "gradient_spike"  # gradient norm, before clipping, far above that of the last steps


class AnomalySettings(Settings):
    """When a step is anomalous, and the response. Window and deviations are OLMo-core's (skip-step optimizer)."""

    not_finite: AnomalyAction = Field(
        default=AnomalyAction.SKIP, description="response to an infinite or NaN loss: skip or stop"
    )
    spike: AnomalyAction = Field(
        default=AnomalyAction.REPORT, description="response to a loss spike: report, skip or stop"
    )
    gradient_spike: AnomalyAction = Field(
        default=AnomalyAction.REPORT, description="response to a spike of the gradient norm: report, skip or stop"
    )
    deviations: float = Field(
        default=6.0, gt=0, description="a spike is this many standard deviations above the mean of the last steps"
    )
    window: int = Field(
        default=128, ge=2, description="number of last steps that a step is compared with; no spike before half of them"
    )
    patience: int = Field(default=10, ge=1, description="number of skipped steps in a row that ends the run")

    @model_validator(mode="after")
    def _check_response(self) -> AnomalySettings:
        if self.not_finite is AnomalyAction.REPORT:
            raise ValueError("anomalies.not_finite = report would write NaN into every weight; choose skip or stop")
        return self


class Anomaly(NamedTuple):
    """An anomalous step."""

    kind: AnomalyKind
    loss: float
    gradient_norm: float
    limit: float  # exceeded by the loss or the norm; infinite for NOT_FINITE
    action: AnomalyAction


class SpikeDetector:
    """Compares a step's loss and gradient norm with those of the last normal steps."""

    def __init__(self, settings: AnomalySettings, losses: Iterable[float] = (), norms: Iterable[float] = ()) -> None:
        self.settings = settings
        self.losses = deque(losses, maxlen=settings.window)
        self.norms = deque(norms, maxlen=settings.window)
        self.skipped = 0  # steps in a row

    def judge(self, loss: float, gradient_norm: float) -> Anomaly | None:
        """The anomaly of a step, if it has one; else its loss and norm enter the windows."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            action = self.settings.not_finite
            return self._count(Anomaly(AnomalyKind.NOT_FINITE, loss, gradient_norm, math.inf, action))
        limit, norm_limit = self.limit(self.losses), self.limit(self.norms)
        if loss > limit:
            return self._count(Anomaly(AnomalyKind.SPIKE, loss, gradient_norm, limit, self.settings.spike))
        if gradient_norm > norm_limit:
            action = self.settings.gradient_spike
            return self._count(Anomaly(AnomalyKind.GRADIENT_SPIKE, loss, gradient_norm, norm_limit, action))
        self._append(loss, gradient_norm)
        self.skipped = 0
        return None

    def limit(self, window: Sequence[float]) -> float:
        """The value above which a step is a spike."""
        if 2 * len(window) < self.settings.window:
            return math.inf
        return statistics.fmean(window) + self.settings.deviations * statistics.pstdev(window)

    def _append(self, loss: float, gradient_norm: float) -> None:
        self.losses.append(loss)
        self.norms.append(gradient_norm)

    def _count(self, anomaly: Anomaly) -> Anomaly:
        """Count skips, and stop after `patience`. A reported spike enters the window: it may be the new level."""
        if anomaly.action is AnomalyAction.REPORT:
            self._append(anomaly.loss, anomaly.gradient_norm)
            return anomaly
        self.skipped += 1
        return anomaly._replace(action=AnomalyAction.STOP) if self.skipped >= self.settings.patience else anomaly
