"""Annealing: from any checkpoint, lower the learning rate from its current value to 0 on better data.

Annealing alone lowers the loss, so the gain of better data shows only beside a control run (`control = true`), which
anneals on the run's own mixture. The stage can also extend the context, with scaled rotary positions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field
from tqdm import tqdm

from trainer.config import ConfigError
from trainer.data.batches import BatchSource
from trainer.data.sources import DataSettings, SourceSettings
from trainer.data.tokenizer import Tokenizer
from trainer.model.model_settings import ModelSettings
from trainer.model.rotary import RopeScaling, RopeSettings
from trainer.retrieval.neighbors import NeighborFinder
from trainer.settings import Settings
from trainer.tasks.launch import launch
from trainer.tasks.pretrain import PretrainTask
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.checkpoint import RunState
from trainer.training.loop import TrainingResult
from trainer.training.mesh import ParallelSettings
from trainer.training.run import InitialWeights
from trainer.training.schedule import ScheduleSettings, ScheduleShape

LLAMA3_FACTORS = (1.0, 4.0)  # low_freq_factor and high_freq_factor of Llama 3.1's configuration
YARN_FACTORS = (1.0, 32.0)  # Peng et al. 2023, section 3.2


class AnnealSettings(Settings):
    """What the annealing stage changes in the settings of the run that it starts from.

    Sources: DCLM raises its quality threshold for the cool-down; OLMo 2 and Llama 3 anneal linearly; Llama 3 has a
    theta of 500,000 for its long context.
    """

    steps: int = Field(default=200, ge=1, description="optimizer steps of the stage")
    control: bool = Field(
        default=False, description="train on the run's own mixture from where it stopped, as a control"
    )
    min_quality: float | None = Field(
        default=None, description="lowest quality_score of a document, in every source; unchanged if unset"
    )
    sources: dict[str, SourceSettings] = Field(
        default_factory=dict, description="data sources of the stage; the run's own sources if empty"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="learning rate of the first step; the checkpoint's last one if unset"
    )
    shape: ScheduleShape = Field(
        default=ScheduleShape.LINEAR, description="course of the learning rate: linear or cosine"
    )
    min_ratio: float = Field(default=0.0, ge=0, lt=1, description="last learning rate divided by the first one, 0 to 1")
    context_length: int | None = Field(
        default=None, ge=1, description="tokens of a sequence, to extend the context; the run's own if unset"
    )
    scaling: RopeScaling = Field(
        default=RopeScaling.NONE,
        description="how rotary positions reach a longer context: none, linear, llama3 or yarn",
    )
    theta: float | None = Field(
        default=None, gt=0, description="base of the rotary frequencies, to extend the context; unchanged if unset"
    )
    parallel: ParallelSettings = Field(
        default=ParallelSettings(), description="how ranks divide the model in the stage, whatever the run had"
    )
    seed: int | None = Field(
        default=None, description="seed of the order of documents and sequences; the run's own if unset"
    )


class AnnealRunSettings(PretrainSettings):
    """All settings of an annealing run."""

    anneal: AnnealSettings = Field(
        default=AnnealSettings(), description="the annealing stage, already applied to the other tables"
    )


def build_run_settings(settings: AnnealSettings, state: RunState) -> AnnealRunSettings:
    """The settings of the annealing run: those of the checkpoint, changed by the stage."""
    names = PretrainSettings.model_fields
    before = PretrainSettings.model_validate({name: value for name, value in state.settings.items() if name in names})
    rate = settings.learning_rate or state.learning_rate
    if rate < 1e-3 * before.schedule.learning_rate:
        raise ConfigError(
            f"the checkpoint's learning rate is {rate:.3g}, below 0.1% of its peak "
            f"{before.schedule.learning_rate:.3g}: it was annealed already. "
            "Start from an earlier checkpoint, or set learning_rate"
        )
    changes: dict[str, Any] = {
        "schedule": ScheduleSettings(
            learning_rate=rate, warmup_steps=0, shape=settings.shape, min_ratio=settings.min_ratio
        ),
        "loop": before.loop.model_copy(update={"steps": settings.steps}),
        "parallel": settings.parallel,
        "model": _extend_context(before.model, settings),
        "data": build_data_settings(before.data, settings, state),
    }
    tables = {name: getattr(before, name) for name in names}
    return AnnealRunSettings(**(tables | changes), anneal=settings)


def build_data_settings(data: DataSettings, settings: AnnealSettings, state: RunState) -> DataSettings:
    """The data of the stage.

    The control continues at the sequence where the run stopped. If the sequence length changes, the position is
    converted from tokens, and the batch size is changed to keep the tokens of a step.
    """
    length = settings.context_length or data.sequence_length
    batch_size = max(1, data.batch_size * data.sequence_length // length)
    changes: dict[str, Any] = {"sequence_length": length, "batch_size": batch_size}
    if settings.seed is not None:
        changes["seed"] = settings.seed
    if settings.control:
        read = state.data.get("next_sequence", 0) * state.data.get("sequence_length", length)
        return data.model_copy(update=changes | {"first_sequence": -(-read // length)})
    sources = settings.sources or data.sources
    if settings.min_quality is not None:
        sources = {name: _raise_quality(source, settings.min_quality) for name, source in sources.items()}
    return data.model_copy(update=changes | {"sources": sources, "first_sequence": 0})


def _raise_quality(source: SourceSettings, quality: float) -> SourceSettings:
    return source.model_copy(update={"min_quality": max(source.min_quality or quality, quality)})


def _extend_context(model: ModelSettings, settings: AnnealSettings) -> ModelSettings:
    """The model with the context length and the rotary positions of the stage."""
    context = settings.context_length or model.context_length
    values = model.rope.model_dump()
    if settings.theta is not None:
        values["theta"] = settings.theta
    if settings.scaling is not RopeScaling.NONE:
        low, high = YARN_FACTORS if settings.scaling is RopeScaling.YARN else LLAMA3_FACTORS
        values |= {"scaling": settings.scaling, "factor": max(context / model.context_length, 1.0)}
        values |= {"original_context_length": model.context_length, "low_freq_factor": low, "high_freq_factor": high}
    rope = RopeSettings.model_validate(values)
    return model.model_copy(update={"context_length": max(context, model.context_length), "rope": rope})


def anneal(
    settings: PretrainSettings,
    start: Path,
    source: BatchSource,
    out: Path,
    *,
    tokenizer: Tokenizer | None = None,
    validation: BatchSource | None = None,
    neighbors: NeighborFinder | None = None,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Train from the weights and moments of `start`, a run or a checkpoint.

    settings: the `build_run_settings` for the state of `start`. source: batches of `settings.data`.
    """
    log(f"annealing {start} from {settings.schedule.learning_rate:.3g} over {settings.loop.steps:,} steps")
    weights = InitialWeights(start, with_optimizer=True)
    return launch(PretrainTask(settings, source, validation, tokenizer, neighbors), out, start=weights, log=log)
