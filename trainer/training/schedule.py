"""The learning rate of a step: a warm-up, then cosine, warm-up-stable-decay (wsd), linear or constant."""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import Field

from trainer.settings import Settings


class ScheduleShape(StrEnum):
    """The course of the learning rate after the warm-up."""

    COSINE = "cosine"  # half a cosine down to the last rate (Hoffmann et al. 2022: over the whole run)
    WSD = "wsd"  # warm-up, stable, decay (Hu et al. 2024, MiniCPM): any stable step can be annealed
    LINEAR = "linear"  # straight down over the whole run: annealing (OLMo 2, Llama 3)
    CONSTANT = "constant"


class DecayShape(StrEnum):
    """The course of the decay of wsd."""

    LINEAR = "linear"
    SQRT = "sqrt"  # 1 - sqrt(progress), a little better than linear in Haegele et al. 2024


class ScheduleSettings(Settings):
    """The learning rate of each step. The defaults are Llama 2 7B's, with a shorter warm-up than its 2,000 steps."""

    learning_rate: float = Field(
        default=3e-4, gt=0, description="peak learning rate of AdamW, after the warm-up; small models tolerate more"
    )
    warmup_steps: int = Field(
        default=100, ge=0, description="steps over which the learning rate rises from 0 to its peak"
    )
    shape: ScheduleShape = Field(
        default=ScheduleShape.COSINE,
        description="course of the learning rate after the warm-up: cosine, wsd, linear or constant",
    )
    min_ratio: float = Field(
        default=0.1, ge=0, le=1, description="last learning rate divided by the peak, 0 to 1; not used by constant"
    )
    decay_fraction: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="share of the steps in which wsd decays, 0 to 1; 0.1 to 0.2 in Haegele et al. 2024",
    )
    decay_shape: DecayShape = Field(
        default=DecayShape.SQRT, description="course of the learning rate while wsd decays: sqrt or linear"
    )


def learning_rate(step: int, steps: int, settings: ScheduleSettings) -> float:
    """The learning rate of `step`, 0 to steps - 1. The last rate would be reached at `steps`, so no step has rate 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.shape is ScheduleShape.WSD:
        begin = max(settings.warmup_steps, steps - round(settings.decay_fraction * steps))
        factor = _decay_factor(_progress(step, begin, steps), settings.decay_shape)
    else:
        factor = _shape_factor(_progress(step, settings.warmup_steps, steps), settings.shape)
    return settings.learning_rate * (settings.min_ratio + (1 - settings.min_ratio) * factor)


def _progress(step: int, begin: int, end: int) -> float:
    """0 up to `begin`, 1 from `end` on."""
    return min(max((step - begin) / max(end - begin, 1), 0.0), 1.0)


def _shape_factor(progress: float, shape: ScheduleShape) -> float:
    """1 at the peak, 0 at the last rate."""
    match shape:
        case ScheduleShape.COSINE:
            return 0.5 * (1 + math.cos(math.pi * progress))
        case ScheduleShape.LINEAR:
            return 1 - progress
        case _:
            return 1.0


def _decay_factor(progress: float, shape: DecayShape) -> float:
    """1 at the peak, 0 at the last rate."""
    return 1 - (math.sqrt(progress) if shape is DecayShape.SQRT else progress)
