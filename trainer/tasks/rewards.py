"""What rewards answers: the verifiers of the prompts, or a reward model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trainer.chat.chat_batches import fill_rows, is_held_out
from trainer.chat.chat_template import ChatTemplate, Encoded
from trainer.chat.read_conversations import ReadReport
from trainer.config import ConfigError
from trainer.contamination.leave_out import DecontaminateSettings, leave_out_items
from trainer.data.batches import BatchSource
from trainer.data.sources import DataSettings, build_training_batches, load_corpus, pin_snapshots
from trainer.data.tokenizer import compare_tokenizers
from trainer.errors import UserError
from trainer.model.decoder import Decoder
from trainer.rollouts.policy_rollouts import RewardFunction
from trainer.rollouts.prompts import Prompt, keep_fitting, read_prompts
from trainer.rollouts.verifiers import verify
from trainer.tasks.policy import PolicyTask, check_policy
from trainer.tasks.policy_settings import PolicyAlgorithm, PolicySettings
from trainer.tasks.post_training import check_length, check_mesh
from trainer.tasks.reward import score_rows
from trainer.tasks.start_model import StartModel, adapted, open_start, smallest_context
from trainer.tasks.trained_prompts import read_trained_prompts
from trainer.training.saved_model import load_decoder

SCORED = 64  # answers that a reward model reads at once


@dataclass(frozen=True)
class VerifiedReward:
    """The verifier of each prompt."""

    template: ChatTemplate

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]]) -> list[float]:
        return [
            verify(self.template.decode_answer(answer), prompt.check) if prompt.check else 0.0
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


@dataclass(frozen=True)
class ModelReward:
    """The score of a reward model, whose tokenizer is that of the policy."""

    run: Path
    template: ChatTemplate

    @cached_property
    def model(self) -> Decoder:
        """Loaded when it is needed first, where torch computes."""
        return load_decoder(self.run, "cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]]) -> list[float]:
        room = self.model.settings.context_length
        texts = [
            [*prompt.tokens, *answer, self.template.end][-room:]
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        scores: list[float] = []
        for begin in range(0, len(texts), SCORED):
            rows = [
                [Encoded(np.array([*text, text[-1]], np.int32), np.zeros(len(text) + 1, np.bool_))]
                for text in texts[begin : begin + SCORED]
            ]
            device = self.model.embedding.weight.device
            part = {name: tensor.to(device) for name, tensor in fill_rows(rows).items()}
            scores += score_rows(self.model, part).tolist()
        return scores


class OpenedPrompts(NamedTuple):
    """Prompts whose answers are rewarded, and what was read for them."""

    prompts: list[Prompt]
    report: ReadReport
    reward_run: Path | None  # the reward model's
    rewarded: set[str] | None  # keys of the prompts that it was trained on; None where its files are gone

    def describe_shared(self, parts: Mapping[str, Sequence[Prompt]], setting: str) -> str:
        """How many prompts of each part the reward model was trained on; empty without a reward model.

        setting: what leaves them out.
        """
        if self.reward_run is None:
            return ""
        if self.rewarded is None:
            return f"not checked whether {self.reward_run} was trained on the same prompts: its files are gone"
        counts = {name: len({prompt.key for prompt in part} & self.rewarded) for name, part in parts.items()}
        told = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
        advice = f"; {setting} = true leaves them out" if any(counts.values()) else ""
        return f"the reward model was trained on {told}{advice}"


def open_prompts(
    files: Sequence[Path],
    start: StartModel,
    reward_run: Path | None,
    decontaminate: DecontaminateSettings,
    new_tokens: int,
    *,
    max_tokens: int | None = None,
    unshared: bool = False,
) -> OpenedPrompts:
    """The prompts of files that fit beside an answer; those that are left out are counted in the report.

    max_tokens: longest prompt. unshared: without those that the reward model was trained on. Raises UserError where
    nothing rewards an answer, and where no prompt is left for one of these reasons.
    """
    report = ReadReport()
    found = read_prompts(files, ChatTemplate(start.tokenizer), report)
    clean = leave_out_items(found, _prompt_text, decontaminate, report)
    short = [prompt for prompt in clean if max_tokens is None or len(prompt.tokens) <= max_tokens]
    report.skipped["prompt over prompts.max_tokens"] += len(clean) - len(short)
    context = start.settings.context_length
    if reward_run is not None:
        context = min(context, smallest_context([reward_run]))
    prompts = keep_fitting(short, context, new_tokens, report)
    check_prompts(prompts, reward_run)
    rewarded = None if reward_run is None else _read_rewarded(reward_run, unshared)
    if unshared and rewarded:
        apart = [prompt for prompt in prompts if prompt.key not in rewarded]
        report.skipped["prompt of the reward model's training"] += len(prompts) - len(apart)
        if prompts and not apart:
            raise UserError("the reward model was trained on every one of these prompts; give others")
        prompts = apart
    return OpenedPrompts(prompts, replace(report, skipped=+report.skipped), reward_run, rewarded)


def _read_rewarded(run: Path, needed: bool) -> set[str] | None:
    """The prompts that a reward model was trained on; None where its files are gone, unless they are needed."""
    try:
        return read_trained_prompts(run)
    except UserError:
        if needed:
            raise
        return None


def _prompt_text(prompt: Prompt) -> str:
    """What is asked, and the answer that earns a reward if one is named."""
    answer = (prompt.check or {}).get("answer", "")
    return "\n\n".join([*(message["content"] for message in prompt.messages), str(answer)])


class OpenedPolicy(NamedTuple):
    """A task, and what was read for it."""

    task: PolicyTask
    report: ReadReport
    shared: str  # how many prompts the reward model shares, in words; empty without a reward model


def open_policy_task(settings: PolicySettings, start: StartModel, reward_run: Path | None) -> OpenedPolicy:
    """The task, with prompts read and split, and what rewards its answers."""
    check_policy(settings)
    if not settings.prompts.files:
        raise ConfigError("prompts.files: name at least one file of prompts")
    template = ChatTemplate(start.tokenizer)
    opened = open_prompts(
        settings.prompts.files,
        start,
        reward_run,
        settings.decontaminate,
        settings.rollout.max_new_tokens,
        max_tokens=settings.prompts.max_tokens,
        unshared=settings.prompts.unshared,
    )
    sides: dict[bool, list[Prompt]] = {False: [], True: []}
    for prompt in opened.prompts:
        sides[is_held_out(prompt.key, settings.prompts.held_out)].append(prompt)
    if not sides[False]:
        raise UserError(
            "no prompt is left to train on; raise prompts.max_tokens, lower prompts.held_out, or give prompts that the "
            "reward model was not trained on"
        )
    reward, digest, value_start = open_reward(start, reward_run, template)
    if settings.policy.algorithm is PolicyAlgorithm.PPO:
        value = adapted((value_start or start).settings, settings.model.lora, scalar_head=True)
        check_mesh(settings, value)
        settings = settings.model_copy(update={"value_model": value})
    ppo = settings.value_model is not None
    task = PolicyTask(
        settings,
        start,
        tuple(sides[False]),
        reward,
        digest,
        held_out=tuple(sides[True]),
        value_start=(value_start or start) if ppo else None,
        mix=open_mix(settings.data, start),
        gold=VerifiedReward(template) if reward_run and all(prompt.check for prompt in opened.prompts) else None,
    )
    parts = {"the prompts to train on": sides[False], "those held out": sides[True]}
    return OpenedPolicy(task, opened.report, opened.describe_shared(parts, "prompts.unshared"))


def open_mix(settings: DataSettings, start: StartModel) -> BatchSource | None:
    """Batches of the pretraining text that the settings name, if they do."""
    if not settings.sources:
        return None
    if "sequence_length" not in settings.model_fields_set:
        settings = settings.model_copy(update={"sequence_length": start.settings.context_length})
    check_length("data", settings.sequence_length, start.settings)
    data = pin_snapshots(settings)
    return build_training_batches(load_corpus(data, start.tokenizer), data)


def check_prompts(prompts: Sequence[Prompt], reward_run: Path | None) -> None:
    """Raises UserError for prompts whose answers nothing rewards."""
    lacking = sum(prompt.check is None for prompt in prompts)
    if reward_run is None and lacking:
        raise UserError(
            f"{lacking:,} of {len(prompts):,} prompts have no `verify`; add it, or name a model with --reward"
        )


class Reward(NamedTuple):
    """What rewards answers."""

    function: RewardFunction
    digest: str  # tells it from others
    model: StartModel | None  # the reward model, if there is one


def open_reward(start: StartModel, run: Path | None, template: ChatTemplate) -> Reward:
    """The reward model of a run, or the prompts' verifiers. Raises UserError for a model that does not fit."""
    if run is None:
        return Reward(VerifiedReward(template), "verifiers", None)
    found = open_start(run)
    if not found.settings.scalar_head:
        raise UserError(f"{run}: not a reward model; train one with `gristmill train reward`")
    if difference := compare_tokenizers(found.tokenizer.json, start.tokenizer):
        raise UserError(f"{run}: the reward model has {difference}")
    return Reward(ModelReward(run, template), found.digest, found)
