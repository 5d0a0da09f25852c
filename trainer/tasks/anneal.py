"""Annealing: from any checkpoint, the learning rate goes from its real value to 0 on better data.

The control run (`anneal.control = true`) does the same on the mixture that the run had anyway: only beside it does the
better data's gain show, since annealing alone lowers the loss. A longer context, with rotary positions stretched, is
the second use of the same stage.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm

from trainer.data.batches import BatchSource
from trainer.data.sources import DataSettings, SourceSettings
from trainer.model.rotary import RopeSettings, Scaling
from trainer.model.settings import ModelSettings
from trainer.settings import Settings
from trainer.training import checkpoint
from trainer.training.checkpoint import State
from trainer.training.loop import Result, pretrain
from trainer.training.run import PretrainSettings
from trainer.training.schedule import ScheduleSettings, ScheduleShape

LLAMA3_TURNS = (1.0, 4.0)  # low and high, Llama 3.1's configuration
YARN_TURNS = (1.0, 32.0)  # Peng et al. 2023, section 3.2


class AnnealSettings(Settings):
    """What changes for the last stretch."""

    steps: int = Field(default=200, ge=1)
    control: bool = False  # the same on the run's own mixture, going on where it stopped reading
    min_quality: float | None = None  # of every source (DCLM tightens its threshold for the cool-down)
    sources: dict[str, SourceSettings] = Field(default_factory=dict)  # the mixture; empty: the run's own sources
    learning_rate: float | None = Field(default=None, gt=0)  # to begin with; None: the checkpoint's last one
    shape: ScheduleShape = ScheduleShape.LINEAR  # OLMo 2 and Llama 3
    min_ratio: float = Field(default=0.0, ge=0, lt=1)  # of the first rate
    context_length: int | None = Field(default=None, ge=1)  # tokens of a row, for longer contexts
    scaling: Scaling = Scaling.NONE  # how positions are stretched; the factor follows from the two contexts
    theta: float | None = Field(default=None, gt=0)  # or a slower base (Llama 3: 500,000)
    seed: int | None = None  # of the data's order; None: the run's


def annealed_data(data: DataSettings, settings: AnnealSettings, state: State) -> DataSettings:
    """The data of the last stretch.

    The control goes on at the row where the run stopped. Rows of another length are counted in tokens, and as many
    tokens make a step.
    """
    sequence = settings.context_length or data.sequence_length
    rows = max(1, data.batch_size * data.sequence_length // sequence)
    changes: dict[str, Any] = {"sequence_length": sequence, "batch_size": rows}
    if settings.seed is not None:
        changes["seed"] = settings.seed
    if settings.control:
        read = (data.first_sequence + state.step * data.batch_size) * data.sequence_length
        return data.model_copy(update=changes | {"first_sequence": -(-read // sequence)})
    sources = settings.sources or data.sources
    if settings.min_quality is not None:
        sources = {name: _at_least(source, settings.min_quality) for name, source in sources.items()}
    return data.model_copy(update=changes | {"sources": sources, "first_sequence": 0})


def _at_least(source: SourceSettings, quality: float) -> SourceSettings:
    return source.model_copy(update={"min_quality": max(source.min_quality or quality, quality)})


def annealed_settings(settings: AnnealSettings, state: State) -> PretrainSettings:
    """The loop's settings of the last stretch: the checkpoint's own, but for what annealing changes."""
    names = PretrainSettings.model_fields
    before = PretrainSettings.model_validate({k: v for k, v in state.settings.items() if k in names})
    rate = settings.learning_rate or state.learning_rate
    if rate < 1e-3 * before.schedule.learning_rate:
        raise ValueError(
            f"the checkpoint's learning rate is {rate:.3g}, next to nothing of its peak "
            f"{before.schedule.learning_rate:.3g}: it was annealed already. "
            "Begin from an earlier checkpoint, or set anneal.learning_rate"
        )
    schedule = ScheduleSettings(learning_rate=rate, warmup_steps=0, shape=settings.shape, min_ratio=settings.min_ratio)
    loop = before.loop.model_copy(update={"steps": settings.steps})
    return before.model_copy(update={"schedule": schedule, "loop": loop, "model": _stretched(before.model, settings)})


def _stretched(model: ModelSettings, settings: AnnealSettings) -> ModelSettings:
    """The model with its longer context."""
    context = settings.context_length or model.context_length
    values = model.rope.model_dump()
    if settings.theta is not None:
        values["theta"] = settings.theta
    if settings.scaling is not Scaling.NONE:
        low, high = YARN_TURNS if settings.scaling is Scaling.YARN else LLAMA3_TURNS
        values |= {"scaling": settings.scaling, "factor": max(context / model.context_length, 1.0)}
        values |= {"original_context_length": model.context_length, "low_freq_factor": low, "high_freq_factor": high}
    rope = RopeSettings.model_validate(values)
    return model.model_copy(update={"context_length": max(context, model.context_length), "rope": rope})


def anneal(
    settings: AnnealSettings,
    start: Path,
    source: BatchSource,
    out: Path,
    *,
    validation: BatchSource | None = None,
    configuration: dict[str, Any] | None = None,
    log: Callable[[str], None] = tqdm.write,
) -> Result:
    """Train on from `start` (a run or a checkpoint) with weights, moments and learning rate as they were there.

    source: batches of `annealed_data`; everything else as in `pretrain`.
    """
    found = checkpoint.find(start)
    state = checkpoint.read_state(found)
    loop = annealed_settings(settings, state)
    stored = {**(configuration or {}), **loop.model_dump(mode="json"), "anneal": settings.model_dump(mode="json")}
    log(f"annealing {found} from {loop.schedule.learning_rate:.3g} over {settings.steps:,} steps")
    return pretrain(loop, source, out, validation=validation, start=found, moments=True, configuration=stored, log=log)
