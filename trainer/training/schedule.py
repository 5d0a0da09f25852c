"""The learning rate of a step: warm-up, then cosine or warm-up-stable-decay."""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import Field

from trainer.settings import Settings


class Shape(StrEnum):
    """What happens after the warm-up."""

    COSINE = "cosine"  # half a cosine down to the final rate (Hoffmann et al. 2022: over the whole run)
    WSD = "wsd"  # constant, then down in the last part (Hu et al. 2024, MiniCPM): any point can be annealed
    LINEAR = "linear"  # straight down over the whole run: annealing (OLMo 2, Llama 3)
    CONSTANT = "constant"


class Fall(StrEnum):
    """How wsd comes down."""

    LINEAR = "linear"
    SQRT = "sqrt"  # 1 - sqrt(progress), a little better than linear in Haegele et al. 2024


class ScheduleSettings(Settings):
    """Rates in units of AdamW's learning rate."""

    peak: float = Field(default=3e-4, gt=0)  # Llama 2 7B; presets of smaller models have larger ones
    warmup: int = Field(default=100, ge=0)  # steps; Llama 2 has 2,000
    shape: Shape = Shape.COSINE
    final: float = Field(default=0.1, ge=0, le=1)  # of the peak at the end (Llama 2: 0.1); constant has none
    decay: float = Field(default=0.2, gt=0, le=1)  # of the steps, for wsd (Haegele et al. 2024: 0.1 to 0.2 is enough)
    fall: Fall = Fall.SQRT


def learning_rate(step: int, steps: int, settings: ScheduleSettings) -> float:
    """The rate of step `step` of 0 .. steps - 1. The final rate would be reached at `steps`: no step is wasted on 0."""
    if step < settings.warmup:
        return settings.peak * (step + 1) / settings.warmup
    if settings.shape is Shape.WSD:
        begin = max(settings.warmup, steps - round(settings.decay * steps))
        height = _fallen(_progress(step, begin, steps), settings.fall)
    else:
        height = _height(_progress(step, settings.warmup, steps), settings.shape)
    return settings.peak * (settings.final + (1 - settings.final) * height)


def _progress(step: int, begin: int, end: int) -> float:
    """0 up to `begin`, 1 from `end` on."""
    return min(max((step - begin) / max(end - begin, 1), 0.0), 1.0)


def _height(progress: float, shape: Shape) -> float:
    match shape:
        case Shape.COSINE:
            return 0.5 * (1 + math.cos(math.pi * progress))
        case Shape.LINEAR:
            return 1 - progress
        case _:
            return 1.0


def _fallen(progress: float, fall: Fall) -> float:
    return 1 - (math.sqrt(progress) if fall is Fall.SQRT else progress)
