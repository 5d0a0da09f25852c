"""The learning rate of a step: warm-up, then cosine or warm-up-stable-decay."""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import Field

from trainer.settings import Settings


class ScheduleShape(StrEnum):
    """What happens after the warm-up."""

    COSINE = "cosine"  # half a cosine down to the final rate (Hoffmann et al. 2022: over the whole run)
    WSD = "wsd"  # constant, then down in the last part (Hu et al. 2024, MiniCPM): any point can be annealed
    LINEAR = "linear"  # straight down over the whole run: annealing (OLMo 2, Llama 3)
    CONSTANT = "constant"


class DecayShape(StrEnum):
    """How wsd comes down."""

    LINEAR = "linear"
    SQRT = "sqrt"  # 1 - sqrt(progress), a little better than linear in Haegele et al. 2024


class ScheduleSettings(Settings):
    """Rates in units of AdamW's learning rate."""

    learning_rate: float = Field(default=3e-4, gt=0)  # Llama 2 7B; presets of smaller models have larger ones
    warmup_steps: int = Field(default=100, ge=0)  # steps; Llama 2 has 2,000
    shape: ScheduleShape = ScheduleShape.COSINE
    min_ratio: float = Field(default=0.1, ge=0, le=1)  # of the peak at the end (Llama 2: 0.1); constant has none
    decay_fraction: float = Field(
        default=0.2, gt=0, le=1
    )  # of the steps, for wsd (Haegele et al. 2024: 0.1 to 0.2 is enough)
    decay_shape: DecayShape = DecayShape.SQRT


def learning_rate(step: int, steps: int, settings: ScheduleSettings) -> float:
    """The rate of step `step` of 0 .. steps - 1. The final rate would be reached at `steps`: no step is wasted on 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.shape is ScheduleShape.WSD:
        begin = max(settings.warmup_steps, steps - round(settings.decay_fraction * steps))
        height = _fallen(_progress(step, begin, steps), settings.decay_shape)
    else:
        height = _height(_progress(step, settings.warmup_steps, steps), settings.shape)
    return settings.learning_rate * (settings.min_ratio + (1 - settings.min_ratio) * height)


def _progress(step: int, begin: int, end: int) -> float:
    """0 up to `begin`, 1 from `end` on."""
    return min(max((step - begin) / max(end - begin, 1), 0.0), 1.0)


def _height(progress: float, shape: ScheduleShape) -> float:
    match shape:
        case ScheduleShape.COSINE:
            return 0.5 * (1 + math.cos(math.pi * progress))
        case ScheduleShape.LINEAR:
            return 1 - progress
        case _:
            return 1.0


def _fallen(progress: float, fall: DecayShape) -> float:
    return 1 - (math.sqrt(progress) if fall is DecayShape.SQRT else progress)
