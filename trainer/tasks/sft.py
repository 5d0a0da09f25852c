"""Supervised fine-tuning: a model learns the answers of conversations (Ouyang et al. 2022, section 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from trainer.chat.chat_batches import ChatBatches, ChatSettings, cut_long, is_held_out
from trainer.chat.chat_template import ChatTemplate, Encoded
from trainer.chat.conversation import prompt_key
from trainer.chat.read_conversations import ReadReport, read_conversations
from trainer.config import ConfigError
from trainer.contamination.leave_out import conversation_text, leave_out_items
from trainer.tasks.launch import launch
from trainer.tasks.post_training import (
    ExampleSettings,
    PostTrainingTask,
    check_length,
    check_mesh,
    set_steps,
)
from trainer.tasks.start_model import StartModel
from trainer.tasks.summed_losses import count_tokens_read
from trainer.training.loop import TrainingResult
from trainer.training.schedule import ScheduleSettings, ScheduleShape
from trainer.training.step import Inputs, Replica, accumulate, evaluate_loss
from trainer.training.task import StepGradient

WORST = 16  # rows that an anomaly names


class SftSettings(ExampleSettings):
    """Fine-tuning on conversations.

    Sources: a learning rate of 1e-5 to 2e-5 for all weights (Llama 2, Tulu 3) and about ten times that for adapters;
    two to three epochs. A thousand good conversations are enough, read 15 times (LIMA, Zhou et al. 2023): epochs=15.
    The loss of held-out answers rises before people find the model worse (also LIMA), so the checkpoint with the lowest
    one, which is kept and used, is a cautious choice; RUN/checkpoints/step-... names any other.
    """

    chat: ChatSettings = Field(default=ChatSettings(), description="conversations, and how they are packed")
    epochs: float = Field(
        default=3.0, gt=0, description="times that every conversation is read; loop.steps follows from it"
    )
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(learning_rate=2e-5, warmup_steps=10, shape=ScheduleShape.LINEAR, min_ratio=0.0),
        description="learning rate of each step",
    )
    expert_dropout: float = Field(
        default=0.4, ge=0, lt=1, description="sparse models: dropout rate inside the experts, 0 to 1 (Switch, table 4)"
    )


def suit_sparse(settings: SftSettings) -> SftSettings:
    """The settings for a sparse model: dropout in its experts, half the batch and twice the rate.

    A batch size that is given is kept, and so is the rate where any key of `schedule` is given.

    Sparse models overfit sooner, and fine-tune better with smaller batches and higher rates than dense ones (ST-MoE,
    Zoph et al. 2022, sections 4.2 and 4.3; there by sweeps, the factor of two is ours).
    """
    experts = settings.model.experts
    if experts is None:
        return settings
    experts = experts.model_copy(update={"dropout": settings.expert_dropout})
    chat, schedule = settings.chat, settings.schedule
    if "batch_size" not in chat.model_fields_set:
        chat = chat.model_copy(update={"batch_size": max(1, chat.batch_size // 2)})
    if "schedule" not in settings.model_fields_set:
        schedule = schedule.model_copy(update={"learning_rate": 2 * schedule.learning_rate})
    model = settings.model.model_copy(update={"experts": experts})
    return settings.model_copy(update={"model": model, "chat": chat, "schedule": schedule})


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
    settings = suit_sparse(settings)
    chat = settings.chat
    if not chat.files:
        raise ConfigError("chat.files: name at least one file of conversations")
    check_mesh(settings)
    check_length("chat", chat.sequence_length, settings.model)
    sides: dict[bool, list[Encoded]] = {False: [], True: []}
    read = read_conversations(chat.files, report)
    for conversation in leave_out_items(read, conversation_text, settings.decontaminate, report):
        encoded = cut_long(template.encode(conversation), chat.sequence_length)
        if encoded is None:
            report.skipped["prompt over chat.sequence_length"] += 1
        else:
            sides[is_held_out(prompt_key(conversation.prompt), chat.held_out)].append(encoded)
    training = ChatBatches(tuple(sides[False]), chat)
    held_out = ChatBatches(tuple(sides[True]), chat) if sides[True] else None
    settings = set_steps(settings, training.steps(settings.epochs))
    return SftInputs(settings, training, held_out, report)


@dataclass(frozen=True)
class SftTask(PostTrainingTask):
    """The task of answering as in conversations (see `trainer.training.task`)."""

    held_out: ChatBatches | None = None

    def add_gradient(self, prepared: list[Inputs], replica: Replica) -> StepGradient:
        """Forward and backward of all micro-batches."""
        experts = self.settings.model.experts
        found = accumulate(replica.module, prepared, replica.world, replica.bf16, experts, replica.defer_gradients)
        numbers: dict[str, Any] = {}
        if found.routing is not None:
            numbers["experts"] = {name: value.tolist() for name, value in found.routing._asdict().items()}
        worst = partial(self._worst_rows, found.token_losses, prepared)
        read = count_tokens_read(prepared, replica)
        return StepGradient(found.loss, found.tokens, read, numbers, worst)

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


def sft(
    inputs: SftInputs,
    start: StartModel,
    out: Path,
    *,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Fine-tunes, resuming from the latest checkpoint in `out` if there is one."""
    task = SftTask(inputs.settings, start, inputs.training, held_out=inputs.held_out)
    return launch(task, out, allow_changes=allow_changes, log=log)
