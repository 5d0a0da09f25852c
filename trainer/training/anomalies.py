"""Loss spikes and NaN: detected before the optimizer step; the response is a setting."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field, model_validator

from trainer.errors import UserError
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


class AnomalySettings(Settings):
    """When a step is anomalous, and the response. Window and deviations are OLMo-core's (skip-step optimizer)."""

    not_finite: AnomalyAction = Field(
        default=AnomalyAction.SKIP, description="response to an infinite or NaN loss: skip or stop"
    )
    spike: AnomalyAction = Field(
        default=AnomalyAction.REPORT, description="response to a loss spike: report, skip or stop"
    )
    deviations: float = Field(
        default=6.0, gt=0, description="a spike is a loss this many standard deviations above the window's mean"
    )
    window: int = Field(
        default=128, ge=2, description="number of last steps that a loss is compared with; no spike before half of them"
    )
    patience: int = Field(default=10, ge=1, description="number of skipped steps in a row that ends the run")

    @model_validator(mode="after")
    def _check_response(self) -> AnomalySettings:
        if self.not_finite is AnomalyAction.REPORT:
            raise ValueError("anomalies.not_finite = report would write NaN into every weight; choose skip or stop")
        return self


class TrainingStoppedError(UserError):
    """A run that ended early, at an anomaly or a signal; the message names its report and checkpoint."""


class Anomaly(NamedTuple):
    """An anomalous step."""

    kind: AnomalyKind
    loss: float
    limit: float  # exceeded by the loss; infinite for NOT_FINITE
    action: AnomalyAction


class SpikeDetector:
    """Compares a loss with those of the last normal steps."""

    def __init__(self, settings: AnomalySettings, losses: Iterable[float] = ()) -> None:
        self.settings = settings
        self.losses = deque(losses, maxlen=settings.window)
        self.skipped = 0  # steps in a row

    def judge(self, loss: float, gradient_norm: float) -> Anomaly | None:
        """The anomaly of a step, if it has one; else its loss enters the window."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            return self._count(Anomaly(AnomalyKind.NOT_FINITE, loss, math.inf, self.settings.not_finite))
        limit = self.limit
        if loss > limit:
            return self._count(Anomaly(AnomalyKind.SPIKE, loss, limit, self.settings.spike))
        self.losses.append(loss)
        self.skipped = 0
        return None

    @property
    def limit(self) -> float:
        """The loss above which a step is a spike."""
        if 2 * len(self.losses) < self.settings.window:
            return math.inf
        return statistics.fmean(self.losses) + self.settings.deviations * statistics.pstdev(self.losses)

    def _count(self, anomaly: Anomaly) -> Anomaly:
        """Count skips, and stop after `patience`. A reported spike enters the window: it may be the new level."""
        if anomaly.action is AnomalyAction.REPORT:
            self.losses.append(anomaly.loss)
            return anomaly
        self.skipped += 1
        return anomaly._replace(action=AnomalyAction.STOP) if self.skipped >= self.settings.patience else anomaly
