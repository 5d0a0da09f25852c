"""Supervised fine-tuning: a model learns the answers of conversations (Ouyang et al. 2022, section 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from tqdm import tqdm

from trainer.chat.chat_batches import ChatBatches, ChatSettings, cut_long, is_held_out
from trainer.chat.chat_template import ChatTemplate, Encoded
from trainer.chat.conversation import prompt_key
from trainer.chat.read_conversations import ReadReport, read_conversations
from trainer.config import ConfigError
from trainer.model.build import build_model
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.model.weights import initialize_weights
from trainer.tasks.launch import launch
from trainer.tasks.start_model import StartModel, compare_stored_tokenizer, tokenizer_texts
from trainer.training.distributed import World, sum_over_readers
from trainer.training.loop import TrainingResult
from trainer.training.mesh import find_misfit
from trainer.training.schedule import ScheduleSettings, ScheduleShape
from trainer.training.step import Inputs, Replica, accumulate, evaluate_loss
from trainer.training.task import StepGradient, Workload
from trainer.training.training_settings import LoopSettings, TrainingSettings

WORST = 16  # rows that an anomaly names


class SftSettings(TrainingSettings):
    """Fine-tuning on conversations.

    Sources: a learning rate of 1e-5 to 2e-5 for all weights (Llama 2, Tulu 3) and about ten times that for adapters;
    two to three epochs; the loss of held-out answers rises before people find the model worse (LIMA, Zhou et al. 2023),
    so the best checkpoint by that loss is a cautious choice.
    """

    tokenizer: Path = Field(default=Path("tokenizer.json"), description="taken from the model that is trained on")
    model: ModelSettings = Field(default=ModelSettings(), description="taken from the model that is trained on")
    chat: ChatSettings = Field(default=ChatSettings(), description="conversations, and how they are packed")
    epochs: float = Field(
        default=3.0, gt=0, description="times that every conversation is read; loop.steps follows from it"
    )
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(learning_rate=2e-5, warmup_steps=10, shape=ScheduleShape.LINEAR, min_ratio=0.0),
        description="learning rate of each step",
    )
    loop: LoopSettings = Field(
        default=LoopSettings(validate_every=50),
        description="length of the run, and how a step is computed",
    )

    @model_validator(mode="after")
    def _check_parallel(self) -> SftSettings:
        if misfit := find_misfit(self.parallel, self.model, self.chat.sequence_length):
            raise ValueError(misfit)
        return self


@dataclass(frozen=True)
class SftInputs:
    """The conversations of a run as tokens."""

    settings: SftSettings
    training: ChatBatches
    held_out: ChatBatches | None
    report: ReadReport

    def describe(self) -> str:
        """What is read, and how full the rows are."""
        rows, items = self.training.epoch(0), self.training.items
        tokens = sum(len(item.tokens) - 1 for item in items)
        learned = sum(int(item.learned.sum()) for item in items)
        places = len(rows) * self.settings.chat.sequence_length
        held = len(self.held_out.items) if self.held_out else 0
        return (
            f"{self.report.describe()}\n{len(items):,} conversations to train on, {held:,} held out; {tokens:,} "
            f"tokens, {learned / tokens:.0%} learned; an epoch has {len(rows):,} rows, {tokens / places:.0%} full"
        )


def open_conversations(settings: SftSettings, start: StartModel) -> SftInputs:
    """Reads, encodes and splits the conversations; the settings get the number of steps."""
    template, report = ChatTemplate(start.tokenizer), ReadReport()
    chat = settings.chat
    if not chat.files:
        raise ConfigError("chat.files: name at least one file of conversations")
    if chat.sequence_length > settings.model.context_length:
        raise ConfigError(
            f"chat.sequence_length = {chat.sequence_length} is longer than the model's context of "
            f"{settings.model.context_length} tokens; lower it"
        )
    sides: dict[bool, list[Encoded]] = {False: [], True: []}
    for conversation in read_conversations(chat.files, report):
        encoded = cut_long(template.encode(conversation), chat.sequence_length)
        if encoded is None:
            report.skipped["prompt over chat.sequence_length"] += 1
        else:
            sides[is_held_out(prompt_key(conversation.prompt), chat.held_out)].append(encoded)
    training = ChatBatches(tuple(sides[False]), chat)
    held_out = ChatBatches(tuple(sides[True]), chat) if sides[True] else None
    if "steps" not in settings.loop.model_fields_set:
        loop = settings.loop.model_copy(update={"steps": training.steps(settings.epochs)})
        settings = settings.model_copy(update={"loop": loop})
    return SftInputs(settings, training, held_out, report)


@dataclass(frozen=True)
class SftTask:
    """The task of answering as in conversations (see `trainer.training.task`)."""

    settings: SftSettings
    start: StartModel
    batches: ChatBatches
    held_out: ChatBatches | None = None
    prefetches: bool = True

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the conversations and of the weights that the run starts from."""
        return f"{self.batches.fingerprint} {self.start.digest}"

    def position(self, step: int) -> dict[str, Any]:
        """The next row."""
        return {"next_row": self.batches.next_row(step)}

    def resume_at(self, step: int, position: dict[str, Any]) -> tuple[SftTask, str | None]:
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

    @cached_property
    def workload(self) -> Workload:
        """Size of the model, and tokens of a full batch."""
        return workload_of(self.settings.model, self.settings.chat.batch_size, self.settings.chat.sequence_length)

    def build_model(self) -> nn.Module:
        """A decoder on the meta device, with adapters if the settings say so."""
        model = build_model(self.settings.model)
        model.activation_checkpointing = self.settings.loop.activation_checkpointing
        return model

    def initialize(self, model: nn.Module) -> None:
        """The weights of the start; adapters from the seed."""
        initialize_weights(model, self.settings.loop.seed, self.settings.model.init_std, self.settings.model.layers)
        self.start.fill(model)

    def prepare(self, step: int, world: World) -> list[Inputs]:
        """This rank's rows of a step as micro-batches."""
        batch = self.batches.batch(step, world.reader, world.shape.readers)
        return split_inputs(batch, self.settings.loop.micro_batch_size)

    def add_gradient(self, prepared: list[Inputs], replica: Replica) -> StepGradient:
        """Forward and backward of all micro-batches."""
        experts = self.settings.model.experts
        found = accumulate(replica.module, prepared, replica.world, replica.bf16, experts, replica.defer_gradients)
        read = sum(float((part["document_ids"] >= 0).sum()) for part in prepared)
        numbers: dict[str, Any] = {}
        if found.routing is not None:
            numbers["experts"] = {name: value.tolist() for name, value in found.routing._asdict().items()}
        worst = partial(self._worst_rows, found.token_losses, prepared)
        total = sum_over_readers(torch.tensor(read, dtype=torch.float64, device=replica.world.device), replica.world)
        return StepGradient(found.loss, found.tokens, int(total), numbers, worst)

    def _worst_rows(self, losses: Sequence[Tensor], parts: Sequence[Inputs]) -> list[dict[str, Any]]:
        """The rows with the highest loss and the beginning of their text."""
        found: list[tuple[float, str]] = []
        for loss, part in zip(losses, parts, strict=True):
            counted = part["weights"].sum(dim=1).clamp(min=1)
            means = (loss * part["weights"]).sum(dim=1) / counted
            for row, mean in enumerate(means.tolist()):
                text = self.start.tokenizer.decode(part["tokens"][row, :64].tolist())
                found.append((mean if math.isfinite(mean) else math.inf, text))
        worst = sorted(found, reverse=True)[:WORST]
        return [{"loss": mean if math.isfinite(mean) else None, "text": text} for mean, text in worst]

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """The loss of all held-out answers, in nats per token."""
        if self.held_out is None:
            return None
        total = counted = 0.0
        for batch in self.held_out.all_batches():  # on every rank the same: few, and exactly equal
            (losses,) = evaluate_loss(replica.module, [batch], replica.world, replica.bf16)
            total += float((losses * batch["weights"]).sum())
            counted += float(batch["weights"].sum())
        return {"loss": total / max(counted, 1)}


def workload_of(model: ModelSettings, rows: int, length: int) -> Workload:
    """Size of a model and of a step."""
    return Workload(
        parameters=count_parameters(model),
        active_parameters=count_parameters(model, active=True),
        flops_per_token=count_flops_per_token(model, length),
        tokens_per_step=rows * length,
        domains=[],
    )


def split_inputs(inputs: Inputs, size: int | None) -> list[Inputs]:
    """Micro-batches of at most `size` rows."""
    rows = len(inputs["tokens"])
    starts = range(0, rows, size or rows)
    return [{name: tensor[begin : begin + (size or rows)] for name, tensor in inputs.items()} for begin in starts]


def sft(
    inputs: SftInputs,
    start: StartModel,
    out: Path,
    *,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Fine-tunes, resuming from the latest checkpoint in `out` if there is one."""
    task = SftTask(inputs.settings, start, inputs.training, inputs.held_out)
    return launch(task, out, allow_changes=allow_changes, log=log)
