"""Loss spikes and NaN: noticed before the optimizer steps, answered by setting, traced to documents."""

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


class Action(StrEnum):
    """What to do with a step that looks wrong. Its documents are written to anomalies.jsonl in any case."""

    REPORT = "report"  # take the step
    SKIP = "skip"  # leave the weights alone and go on with the next batch
    STOP = "stop"  # end the run before the step, with a checkpoint


class Kind(StrEnum):
    """What was wrong."""

    NOT_FINITE = "not_finite"  # loss or gradient norm is infinite or NaN
    SPIKE = "spike"  # loss far above the last ones


class AnomalySettings(Settings):
    """When a step counts as wrong, and what then."""

    not_finite: Action = Action.SKIP
    spike: Action = Action.REPORT
    deviations: float = Field(default=6.0, gt=0)  # above the mean of the window (OLMo-core's skip-step optimizer: 6)
    window: int = Field(default=128, ge=2)  # steps (the same: 128); nothing is a spike before it is half full
    patience: int = Field(default=10, ge=1)  # so many steps skipped in a row end the run: it will not get better

    @model_validator(mode="after")
    def _possible(self) -> AnomalySettings:
        if self.not_finite is Action.REPORT:
            raise ValueError("anomalies.not_finite = report would write NaN into every weight; choose skip or stop")
        return self


class TrainingStoppedError(UserError):
    """The run ended itself at an anomaly; the message says where the report and the checkpoint lie."""


class Anomaly(NamedTuple):
    """A step that looks wrong."""

    kind: Kind
    loss: float
    limit: float  # that the loss broke; infinite for NOT_FINITE
    action: Action


class SpikeDetector:
    """Remembers the losses of the last good steps."""

    def __init__(self, settings: AnomalySettings, losses: Iterable[float] = ()) -> None:
        self.settings = settings
        self.losses = deque(losses, maxlen=settings.window)
        self.skipped = 0  # in a row

    def judge(self, loss: float, gradient_norm: float) -> Anomaly | None:
        """What is wrong with a step, if anything; a good loss is remembered."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            return self._count(Anomaly(Kind.NOT_FINITE, loss, math.inf, self.settings.not_finite))
        limit = self.limit
        if loss > limit:
            return self._count(Anomaly(Kind.SPIKE, loss, limit, self.settings.spike))
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
        """Turn one skip too many into a stop; a reported spike is remembered, or a new level would spike for ever."""
        if anomaly.action is Action.REPORT:
            self.losses.append(anomaly.loss)
            return anomaly
        self.skipped += 1
        return anomaly._replace(action=Action.STOP) if self.skipped >= self.settings.patience else anomaly
