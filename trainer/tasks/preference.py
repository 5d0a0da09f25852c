"""DPO: a policy learns from pairs of answers, held near the model that it starts from; and the settings of KTO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.pair_batches import PairBatches, PairSettings, SplitPairs, split_pairs
from trainer.chat.read_conversations import ReadReport
from trainer.chat.read_preferences import read_preferences
from trainer.config import ConfigError
from trainer.contamination.leave_out import DecontaminateSettings, leave_out_items, preference_text
from trainer.losses.preferences import PairLogProbs, dpo_loss, preference_margins
from trainer.model.model_settings import ModelSettings
from trainer.settings import Settings
from trainer.tasks.post_training import (
    ExampleSettings,
    PairTask,
    check_length,
    check_mesh,
    set_steps,
)
from trainer.tasks.start_model import StartModel
from trainer.tasks.summed_losses import (
    accumulate_sums,
    answer_log_probs,
    count_tokens_learned,
    count_tokens_read,
    mean_sums,
)
from trainer.training.schedule import ScheduleSettings, ScheduleShape
from trainer.training.step import Inputs, Replica
from trainer.training.task import StepGradient


class PreferenceLoss(StrEnum):
    """What the answers teach."""

    DPO = "dpo"  # the preferred answer to be more likely than the other one
    KTO = "kto"  # each answer by itself to be likely or not


class PreferenceLossSettings(Settings):
    """The loss. Sources: beta of 0.1 is that of both papers; of KTO's weights see `trainer.tasks.kto`."""

    kind: PreferenceLoss = Field(default=PreferenceLoss.DPO, description="dpo or kto")
    beta: float = Field(default=0.1, gt=0, description="how near the policy stays to its start; larger is nearer")
    reference_free: bool = Field(
        default=False, description="dpo: compare with no reference, all answers equally likely"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5, description="dpo: share of labels that may be wrong")
    desirable_weight: float | None = Field(
        default=None, gt=0, description="kto: weight of desirable answers; unset: together they weigh as the others"
    )
    undesirable_weight: float | None = Field(
        default=None, gt=0, description="kto: weight of undesirable answers; unset: together they weigh as the others"
    )


class PreferenceSettings(ExampleSettings):
    """Learning from preferences without a reward model. Source of the rate: 5e-7 (Rafailov et al. 2023, Tulu 3)."""

    pairs: PairSettings = Field(default=PairSettings(), description="preferences, and how they are read")
    preference: PreferenceLossSettings = Field(default=PreferenceLossSettings(), description="the loss")
    epochs: float = Field(default=1.0, gt=0, description="times that all data is read; loop.steps follows from it")
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(learning_rate=5e-7, warmup_steps=10, shape=ScheduleShape.LINEAR, min_ratio=0.0),
        description="learning rate of each step",
    )


@dataclass(frozen=True)
class PreferenceTask(PairTask):
    """The task of preferring the right answer (see `trainer.training.task`)."""

    def add_gradient(self, prepared: list[Inputs], replica: Replica) -> StepGradient:
        """Forward and backward of all micro-batches."""
        pairs = self.count_pairs(prepared)
        numbers = accumulate_sums(prepared, pairs, self.summed_loss, replica)
        learned = count_tokens_learned(prepared, replica)
        read = count_tokens_read(prepared, replica)
        return StepGradient(numbers.pop("loss"), learned, read, numbers, list)

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """The loss of the held-out pairs, and how often the preferred answer is the more likely one."""
        if self.held_out is None:
            return None
        return mean_sums(self.held_out.all_batches(), len(self.held_out.items), self.summed_loss, replica)

    def summed_loss(self, model: nn.Module, part: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The losses of a micro-batch's pairs."""
        settings = self.settings.preference
        pair = PairLogProbs(*answer_log_probs(model, part).view(-1, 2).unbind(1))
        with torch.no_grad(), self._reference.beside(model) as reference:
            fixed = PairLogProbs(*answer_log_probs(reference, part).view(-1, 2).unbind(1))
        given = None if settings.reference_free else fixed
        losses = dpo_loss(pair, given, settings.beta, settings.label_smoothing)
        margins = settings.beta * preference_margins(pair, fixed)
        return losses.sum(), {
            "accuracy": (margins > 0).sum(),
            "margin": margins.sum(),
            "reward_chosen": settings.beta * (pair.chosen - fixed.chosen).sum(),
            "reward_rejected": settings.beta * (pair.rejected - fixed.rejected).sum(),
        }


def open_dpo(settings: PreferenceSettings, start: StartModel) -> tuple[PreferenceTask, str]:
    """The task on the pairs of the settings' files, with the number of steps, and lines that describe the pairs."""
    check_mesh(settings)
    check_pairs(settings.pairs, settings.model)
    split = read_pairs(settings.pairs, settings.decontaminate, start, with_ties=False)
    training = PairBatches(split.training, settings.pairs)
    held_out = PairBatches(split.held_out, settings.pairs) if split.held_out else None
    settings = set_steps(settings, training.steps(settings.epochs))
    return PreferenceTask(settings, start, training, held_out=held_out), split.describe()


def read_pairs(
    pairs: PairSettings, decontaminate: DecontaminateSettings, start: StartModel, *, with_ties: bool
) -> SplitPairs:
    """The pairs of the settings' files, split, without those that hold an item of an evaluation set."""
    report = ReadReport()
    read = read_preferences(pairs.files, report)
    kept = leave_out_items(read, preference_text, decontaminate, report)
    return split_pairs(kept, pairs, ChatTemplate(start.tokenizer), report, with_ties=with_ties)


def check_pairs(pairs: PairSettings, model: ModelSettings) -> None:
    """Raises ConfigError for settings that fit no model or no file."""
    if not pairs.files:
        raise ConfigError("pairs.files: name at least one file of preferences")
    check_length("pairs", pairs.sequence_length, model)
