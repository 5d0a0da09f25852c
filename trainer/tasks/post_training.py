"""What the tasks of post-training share: a start, batches of conversations or pairs, and the position in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field
from torch import nn

from trainer.chat.chat_batches import ChatBatches
from trainer.chat.pair_batches import PairBatches
from trainer.config import ConfigError
from trainer.contamination.leave_out import DecontaminateSettings
from trainer.model.build import build_model
from trainer.model.lora import adapters_off
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.model.weights import initialize_weights
from trainer.tasks.start_model import StartModel, compare_stored_tokenizer, tokenizer_texts
from trainer.training.checkpoint import CheckpointSettings
from trainer.training.distributed import World
from trainer.training.mesh import find_misfit
from trainer.training.step import Inputs
from trainer.training.task import Workload
from trainer.training.training_settings import LoopSettings, TrainingSettings


class PostTrainingSettings(TrainingSettings):
    """What all of post-training needs beside its data and its loss."""

    tokenizer: Path = Field(default=Path("tokenizer.json"), description="taken from the model that is trained on")
    model: ModelSettings = Field(default=ModelSettings(), description="taken from the model that is trained on")
    decontaminate: DecontaminateSettings = Field(
        default=DecontaminateSettings(), description="evaluation sets whose items no training data may hold"
    )
    loop: LoopSettings = Field(
        default=LoopSettings(validate_every=50), description="length of the run, and how a step is computed"
    )


Kind = TypeVar("Kind", bound=PostTrainingSettings)


class ExampleSettings(PostTrainingSettings):
    """What learning from given answers needs: several validations, of which the best one counts.

    Little data is read several times and soon learned by heart: the held-out loss says when to end (LIMA, Zhou et al.
    2023, chose the checkpoint by hand).
    """

    loop: LoopSettings = Field(
        default=LoopSettings(patience=4),
        description="length of the run, and how a step is computed; ten validations unless loop.validate_every is set",
    )
    checkpoints: CheckpointSettings = Field(
        default=CheckpointSettings(keep_best=True), description="when checkpoints are written, and which are kept"
    )


Examples = TypeVar("Examples", bound=ExampleSettings)
VALIDATIONS = 10  # of a run


def set_steps(settings: Examples, steps: int) -> Examples:
    """The settings with these steps and ten validations, unless loop.steps and loop.validate_every were given."""
    given, loop = settings.loop.model_fields_set, settings.loop
    steps = loop.steps if "steps" in given else steps
    every = loop.validate_every if "validate_every" in given else max(1, round(steps / VALIDATIONS))
    changed = loop.model_copy(update={"steps": steps, "validate_every": every})
    return settings.model_copy(update={"loop": changed})


def check_length(table: str, length: int, model: ModelSettings) -> None:
    """Raises ConfigError for sequences that are longer than the model's context."""
    if length > model.context_length:
        raise ConfigError(
            f"{table}.sequence_length = {length} is longer than the model's context of {model.context_length} tokens; "
            "lower it"
        )


def check_mesh(settings: PostTrainingSettings, *others: ModelSettings) -> None:
    """Raises ConfigError for a mesh whose axes do not divide the model, or others that are trained beside it."""
    for model in (settings.model, *others):
        if misfit := find_misfit(settings.parallel, model):
            raise ConfigError(misfit)


@dataclass(frozen=True)
class PostTrainingTask:
    """The part of a task that does not depend on its loss (see `trainer.training.task`)."""

    settings: Any
    start: StartModel
    batches: ChatBatches
    prefetches: bool = True

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the data and of the weights that the run starts from."""
        return f"{self.batches.fingerprint} {self.start.digest}"

    def position(self, step: int) -> dict[str, Any]:
        """The next row of the data."""
        return {"next_row": self.batches.next_row(step)}

    def resume_at(self, step: int, position: dict[str, Any]) -> tuple[Self, str | None]:
        """Continue at the next row, also with another batch size."""
        batches = self.batches.resume_at(step, position["next_row"])
        change = None if batches.first_row == self.batches.first_row else f"continuing at row {position['next_row']:,}"
        return replace(self, batches=batches), change

    @property
    def texts(self) -> Mapping[str, str]:
        """The tokenizer."""
        return tokenizer_texts(self.start.tokenizer)

    def compare_texts(self, stored: Mapping[str, str]) -> str | None:
        """Weights fit the tokenizer that they were trained with."""
        return compare_stored_tokenizer(stored, self.start.tokenizer)

    @property
    def rows_per_item(self) -> int:
        """Rows that belong together, and that micro-batches do not divide."""
        return 1

    @cached_property
    def workload(self) -> Workload:
        """Size of the model, and tokens of a full batch."""
        model, data = self.settings.model, self.batches.settings
        return Workload(
            parameters=count_parameters(model),
            active_parameters=count_parameters(model, active=True),
            flops_per_token=count_flops_per_token(model, data.sequence_length),
            tokens_per_step=self.rows_per_item * data.batch_size * data.sequence_length,
            domains=[],
        )

    def build_model(self) -> nn.Module:
        """A decoder on the meta device, with adapters and a scalar head if the settings say so."""
        return build_model(self.settings.model)

    def initialize(self, model: nn.Module) -> None:
        """The weights of the start; those that it lacks from the seed."""
        initialize_weights(model, self.settings.loop.seed)
        self.start.fill(model)

    @cached_property
    def _reference(self) -> Reference:
        return Reference(self.start, self.settings.model)

    def prepare(self, step: int, world: World) -> list[Inputs]:
        """This rank's rows of a step as micro-batches; loop.micro_batch_size counts items."""
        inputs = self.batches.batch(step, world.reader, world.shape.readers)
        rows, size = len(inputs["tokens"]), self.settings.loop.micro_batch_size
        share = rows if size is None else size * self.rows_per_item
        return [{name: tensor[at : at + share] for name, tensor in inputs.items()} for at in range(0, rows, share)]


@dataclass(frozen=True)
class PairTask(PostTrainingTask):
    """The part of a task on pairs of answers that does not depend on its loss."""

    batches: PairBatches
    held_out: PairBatches | None = None

    @property
    def rows_per_item(self) -> int:
        """Those of a pair."""
        return 2

    def count_pairs(self, parts: list[Inputs]) -> int:
        """Pairs in this rank's micro-batches."""
        return sum(len(part["tokens"]) for part in parts) // self.rows_per_item


@dataclass(frozen=True)
class Reference:
    """The model that a run started from, to compare the trained one with."""

    start: StartModel
    settings: ModelSettings

    @contextmanager
    def beside(self, module: nn.Module) -> Iterator[nn.Module]:
        """The trained module without its adapters, or a frozen copy of the start on every rank."""
        if self.settings.lora is not None:
            with adapters_off(module):
                yield module
        else:
            yield self._frozen.to(next(module.parameters()).device)

    @cached_property
    def _frozen(self) -> nn.Module:
        model = build_model(self.settings).to_empty(device="cpu")
        initialize_weights(model, 0)  # what the start lacks
        self.start.fill(model)
        return model.eval().requires_grad_(False)
