"""KTO: a policy learns from answers that were rated one by one, held near the model that it starts from.

An answer's loss depends on the policy's drift, its mean gain on mismatched answers (Ethayarajh et al. 2024). It is
measured once a step, over all micro-batches and ranks, so that these change no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.rated_batches import RatedBatches, split_answers
from trainer.chat.read_conversations import ReadReport
from trainer.chat.read_preferences import read_rated_answers
from trainer.config import ConfigError
from trainer.contamination.leave_out import leave_out_items, rated_text
from trainer.losses.preferences import kto_loss, mismatched_divergence
from trainer.tasks.post_training import PostTrainingTask, check_mesh, set_steps
from trainer.tasks.preference import PreferenceLossSettings, PreferenceSettings, check_pairs
from trainer.tasks.start_model import StartModel
from trainer.tasks.summed_losses import (
    accumulate_sums,
    answer_log_probs,
    count_tokens_learned,
    count_tokens_read,
    mean_sums,
    to_device,
)
from trainer.training.distributed import sum_over_readers
from trainer.training.step import Inputs, Replica, autocast
from trainer.training.task import StepGradient


class KtoWeights(NamedTuple):
    """Of an answer's loss, by its rating."""

    desirable: float
    undesirable: float


def balance_weights(settings: PreferenceLossSettings, desirable: int, undesirable: int) -> KtoWeights:
    """Both weights: one that is not set makes both kinds, of so many answers, weigh equally as a whole.

    With neither set the weight of the rarer kind is raised and that of the other one is 1 (Ethayarajh et al. 2024, who
    allow desirable answers up to 4/3 of the whole weight of the others). Where a kind is missing, they count as equal.
    """
    good, bad = settings.desirable_weight, settings.undesirable_weight
    ratio = undesirable / desirable if desirable and undesirable else 1.0
    if good is None:
        good = max(1.0, ratio) if bad is None else bad * ratio
    return KtoWeights(good, good / ratio if bad is None else bad)


@dataclass(frozen=True)
class KtoTask(PostTrainingTask):
    """The task of giving good answers and no bad ones (see `trainer.training.task`)."""

    batches: RatedBatches
    held_out: RatedBatches | None = None

    @property
    def rows_per_item(self) -> int:
        """An answer's own row and its mismatched one."""
        return 2

    def add_gradient(self, prepared: list[Inputs], replica: Replica) -> StepGradient:
        """The drift of the whole step, then forward and backward of all micro-batches."""
        drift = mismatched_divergence(*sum_over_readers(self._sum_gains(prepared, replica), replica.world).tolist())
        answers = [_take_rows(part, 0) for part in prepared]
        count = sum(len(part["tokens"]) for part in answers)
        numbers = accumulate_sums(answers, count, partial(self._summed_loss, drift), replica)
        learned = count_tokens_learned(answers, replica)
        read = count_tokens_read(prepared, replica)
        return StepGradient(numbers.pop("loss"), learned, read, {**_mean_rewards(numbers), "drift": drift}, list)

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """The loss of the held-out answers by the drift that is measured over all of them."""
        if self.held_out is None:
            return None
        parts = self.held_out.all_batches()
        replica.module.eval()
        drift = mismatched_divergence(*self._sum_gains(parts, replica).tolist())
        answers = [_take_rows(part, 0) for part in parts]
        numbers = mean_sums(answers, len(self.held_out.items), partial(self._summed_loss, drift), replica)
        return {"loss": numbers.pop("loss"), **_mean_rewards(numbers), "drift": drift}

    @torch.no_grad()
    def _sum_gains(self, parts: list[Inputs], replica: Replica) -> Tensor:
        """What the policy gains on the mismatched answers of this rank, and how many these are: fp64 [2]."""
        total = torch.zeros(2, dtype=torch.float64, device=replica.world.device)
        for part in parts:
            rows = to_device(_take_rows(part, 1), replica)
            with autocast(replica.world.device, replica.bf16):
                policy, reference = self._log_probs(replica.module, rows)
            counted = rows["mismatched"]
            total += torch.stack([((policy - reference) * counted).sum().double(), counted.sum().double()])
        return total

    def _summed_loss(self, drift: float, model: nn.Module, part: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The losses of a micro-batch's answers; an answer is right on its side of the drift."""
        settings = self.settings.preference
        policy, reference = self._log_probs(model, part)
        desirable, gains = part["desirable"], policy - reference
        losses = kto_loss(policy, reference, desirable, drift, settings.beta, *self.weights)
        return losses.sum(), {
            "accuracy": torch.where(desirable, gains > drift, gains < drift).sum(),
            "desirable": desirable.sum(),
            "reward_desirable": settings.beta * (gains * desirable).sum(),
            "reward_undesirable": settings.beta * (gains * ~desirable).sum(),
        }

    def _log_probs(self, model: nn.Module, part: Inputs) -> tuple[Tensor, Tensor]:
        """Of each row's answer, by the policy and without a gradient by the reference."""
        policy = answer_log_probs(model, part)
        with torch.no_grad(), self._reference.beside(model) as reference:
            return policy, answer_log_probs(reference, part)

    @cached_property
    def weights(self) -> KtoWeights:
        """Those of the settings, or by what there is to train on."""
        good = sum(item.desirable for item in self.batches.items)
        return balance_weights(self.settings.preference, good, len(self.batches.items) - good)

    def describe(self) -> str:
        """One line on the answers."""
        items = self.batches.items
        good = sum(item.desirable for item in items)
        return (
            f"{len(items):,} answers to train on, {len(self.held_out.items) if self.held_out else 0:,} held out; "
            f"{good:,} desirable of weight {self.weights.desirable:.3g}, "
            f"{len(items) - good:,} undesirable of weight {self.weights.undesirable:.3g}"
        )


def _take_rows(part: Inputs, place: int) -> Inputs:
    """The answers' own rows (0) or the mismatched ones (1)."""
    return {name: tensor[place::2] for name, tensor in part.items()}


def _mean_rewards(means: Mapping[str, float]) -> dict[str, float]:
    """The numbers of a step with the mean reward of either kind, without that of a kind that is not there.

    margin: the reward of desirable answers less that of undesirable ones, where there are both.
    """
    shares = {"reward_desirable": means["desirable"], "reward_undesirable": 1 - means["desirable"]}
    found = {name: means[name] / share for name, share in shares.items() if share > 0}
    margin = {"margin": found["reward_desirable"] - found["reward_undesirable"]} if len(found) == len(shares) else {}
    return {"accuracy": means["accuracy"], "desirable": means["desirable"], **found, **margin}


def open_kto(settings: PreferenceSettings, start: StartModel) -> tuple[KtoTask, str]:
    """The task on the answers of the settings' files, with the number of steps, and lines that describe the answers.

    Raises ConfigError for steps of one answer, which has no other one to measure the drift on.
    """
    check_mesh(settings)
    check_pairs(settings.pairs, settings.model)
    if settings.pairs.batch_size == 1:
        raise ConfigError("pairs.batch_size = 1: kto measures the drift on the other answers of a step; set more")
    report = ReadReport()
    read = read_rated_answers(settings.pairs.files, report)
    kept = leave_out_items(read, rated_text, settings.decontaminate, report)
    learned, measured = split_answers(kept, settings.pairs, ChatTemplate(start.tokenizer), report)
    training = RatedBatches(learned, settings.pairs)
    held_out = RatedBatches(measured, settings.pairs) if measured else None
    settings = set_steps(settings, training.steps(settings.epochs))
    task = KtoTask(settings, start, training, held_out=held_out)
    return task, f"{report.describe()}\n{task.describe()}"
