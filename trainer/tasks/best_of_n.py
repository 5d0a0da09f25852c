"""Best-of-n: the answer with the highest reward of n samples, without training, and what it costs in divergence."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from trainer.chat.chat_template import END, ChatTemplate
from trainer.contamination.leave_out import DecontaminateSettings
from trainer.errors import UserError
from trainer.files import write_atomically
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings, hash_seed
from trainer.rollouts.policy_rollouts import Answer, RewardFunction, sample_rollout
from trainer.rollouts.prompts import Prompt
from trainer.settings import Settings


class BestOfSettings(Settings):
    """How many answers are compared, and to which prompts."""

    samples: int = Field(default=16, ge=1, description="answers to each prompt")
    max_new_tokens: int = Field(default=256, ge=1, description="longest answer in tokens")
    batch_size: int = Field(default=8, ge=1, description="prompts that are answered at once")
    limit: int | None = Field(default=None, ge=1, description="most prompts; off = all")
    seed: int = Field(default=0, description="seed of the answers")
    unshared: bool = Field(
        default=False,
        description="leave out prompts that the reward model was trained on; else they are only counted",
    )
    decontaminate: DecontaminateSettings = Field(
        default=DecontaminateSettings(), description="evaluation sets whose items must not be in the prompts"
    )


class RewardPoint(NamedTuple):
    """The mean over all prompts if the best of n answers were given."""

    n: int
    reward: float
    verified: float | None  # the chosen answers' gold reward, where it is another one than that which chooses
    kl: float  # nats from the model: log n - (n - 1) / n (Stiennon et al. 2020); an upper bound (Beirami et al. 2024)


def best_reward_curve(
    rewards: Sequence[Sequence[float]], verified: Sequence[Sequence[float]] | None = None
) -> list[RewardPoint]:
    """Points for n = 1, 2, 4, ... and all samples; exact expectations over subsets of the samples, not one draw.

    Among k sorted rewards the one of rank i (from 1) is the best of a random subset of n with probability
    C(i - 1, n - 1) / C(k, n). verified: gold rewards of the same answers.
    """
    order = np.argsort(np.asarray(rewards, np.float64), axis=1, kind="stable")
    count = order.shape[1]
    sizes = sorted({2**power for power in range(count.bit_length()) if 2**power <= count} | {count})
    points = []
    for n in sizes:
        chances = np.array([math.comb(rank - 1, n - 1) / math.comb(count, n) for rank in range(1, count + 1)])
        reward, gold = (
            None if part is None else float((np.take_along_axis(np.asarray(part), order, 1) * chances).sum(1).mean())
            for part in (rewards, verified)
        )
        points.append(RewardPoint(n, reward or 0.0, gold, math.log(n) - (n - 1) / n))
    return points


@dataclass(frozen=True)
class SampledPrompts:
    """n answers to each of some prompts, with their rewards."""

    prompts: tuple[Prompt, ...]
    groups: tuple[tuple[Answer, ...], ...]  # those to one prompt
    verified: tuple[tuple[float, ...], ...] | None = None  # gold rewards of the same answers

    @property
    def best(self) -> list[Answer]:
        """The best answer to each prompt."""
        return [max(group, key=lambda answer: answer.reward) for group in self.groups]

    def curve(self) -> list[RewardPoint]:
        """The reward for each n."""
        return best_reward_curve([[answer.reward for answer in group] for group in self.groups], self.verified)


def best_of_n(
    model: Decoder,
    template: ChatTemplate,
    prompts: Sequence[Prompt],
    reward: RewardFunction,
    settings: BestOfSettings,
    gold: RewardFunction | None = None,
) -> SampledPrompts:
    """Sample answers to the prompts and reward them."""
    groups: list[tuple[Answer, ...]] = []
    verified: list[tuple[float, ...]] = []
    stop, each = template.tokenizer.control[END], settings.samples
    chosen = tuple(prompts[: settings.limit])
    sampling = GenerateSettings(max_new_tokens=settings.max_new_tokens, temperature=1.0, top_p=None)
    for begin in range(0, len(chosen), settings.batch_size):
        part = chosen[begin : begin + settings.batch_size]
        seeds = [hash_seed(settings.seed, begin + place) for place in range(len(part))]
        answers = sample_rollout(model, part, seeds, each, sampling, stop, reward, 0.0)
        groups += [answers[place : place + each] for place in range(0, len(answers), each)]
        if gold is not None:
            found = gold([prompt for prompt in part for _ in range(each)], [answer.text for answer in answers])
            verified += [tuple(found[place : place + each]) for place in range(0, len(found), each)]
    return SampledPrompts(chosen, tuple(groups), tuple(verified) if gold is not None else None)


def write_best(path: Path, sampled: SampledPrompts, template: ChatTemplate) -> None:
    """A file for `sft`: rejection sampling is fine-tuning on the best answers, not on those that a prompt holds."""
    lines = []
    for answer, prompt in zip(sampled.best, sampled.prompts, strict=True):
        text = template.decode_answer(answer.tokens)
        if text.strip():
            given = [{**message, "train": False} for message in prompt.messages]
            item: dict[str, Any] = {
                "messages": [*given, {"role": "assistant", "content": text}],
                "reward": answer.reward,
            }
            lines.append(json.dumps(item, ensure_ascii=False) + "\n")
    _write_lines(path, lines, "every best answer is empty")


def write_pairs(path: Path, sampled: SampledPrompts, template: ChatTemplate) -> int:
    """A file of preferences: the best answer to each prompt beside the median of the worse ones; their number."""
    lines = []
    for group, prompt in zip(sampled.groups, sampled.prompts, strict=True):
        ordered = sorted(group, key=lambda answer: answer.reward)
        worse = [answer for answer in ordered if answer.reward < ordered[-1].reward]
        if not worse:
            continue
        chosen, rejected = (template.decode_answer(answer.tokens) for answer in (ordered[-1], worse[len(worse) // 2]))
        if chosen.strip() and rejected.strip() and chosen != rejected:
            item = {"prompt": list(prompt.messages), "chosen": chosen, "rejected": rejected}
            lines.append(json.dumps(item, ensure_ascii=False) + "\n")
    _write_lines(path, lines, "no prompt has two different answers of unequal rewards")
    return len(lines)


def _write_lines(path: Path, lines: Sequence[str], reason: str) -> None:
    """Refuse an empty file, at which only the next command would fail."""
    if not lines:
        raise UserError(f"{path}: not written, {reason}")
    write_atomically(path, "".join(lines))


def describe_curve(points: Sequence[RewardPoint]) -> str:
    """A table for a terminal."""
    gold = points[0].verified is not None
    rows = [f"{'n':>6}{'reward':>10}" + f"{'verified':>10}" * gold + f"{'kl':>9}"]
    for point in points:
        verified = f"{point.verified:>10.4f}" if point.verified is not None else ""
        rows.append(f"{point.n:>6}{point.reward:>10.4f}{verified}{point.kl:>9.3f}")
    return "\n".join(rows)
