"""Best-of-n: the answer with the highest reward of n samples, without training, and what it costs in divergence."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from trainer.chat.chat_template import END, ChatTemplate
from trainer.files import write_atomically
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings
from trainer.rollouts.policy_rollouts import Answer, RewardFunction, sample_rollout
from trainer.rollouts.prompts import Prompt
from trainer.settings import Settings


class BestOfSettings(Settings):
    """How many answers are compared."""

    samples: int = Field(default=16, ge=1, description="answers to each prompt")
    max_new_tokens: int = Field(default=256, ge=1, description="longest answer in tokens")
    batch_size: int = Field(default=8, ge=1, description="prompts that are answered at once")
    limit: int | None = Field(default=None, ge=1, description="most prompts; off = all")
    seed: int = Field(default=0, description="seed of the answers")


class RewardPoint(NamedTuple):
    """The mean over all prompts if the best of n answers were given."""

    n: int
    reward: float
    kl: float  # nats from the model: log n - (n - 1) / n (Stiennon et al. 2020); an upper bound (Beirami et al. 2024)


def best_reward_curve(rewards: Sequence[Sequence[float]]) -> list[RewardPoint]:
    """Points for n = 1, 2, 4, ... and all samples; exact expectations over subsets of the samples, not one draw.

    Among k sorted rewards the one of rank i (from 1) is the best of a random subset of n with probability
    C(i - 1, n - 1) / C(k, n).
    """
    ordered = np.sort(np.asarray(rewards, np.float64), axis=1)
    count = ordered.shape[1]
    sizes = sorted({2**power for power in range(count.bit_length()) if 2**power <= count} | {count})
    points = []
    for n in sizes:
        chances = np.array([math.comb(rank - 1, n - 1) / math.comb(count, n) for rank in range(1, count + 1)])
        points.append(RewardPoint(n, float((ordered * chances).sum(axis=1).mean()), math.log(n) - (n - 1) / n))
    return points


def best_of_n(
    model: Decoder, template: ChatTemplate, prompts: Sequence[Prompt], reward: RewardFunction, settings: BestOfSettings
) -> tuple[list[Answer], list[RewardPoint]]:
    """The best answer to each prompt, and the curve of the reward."""
    best: list[Answer] = []
    rewards: list[list[float]] = []
    stop = template.tokenizer.control[END]
    chosen = list(prompts[: settings.limit])
    for begin in range(0, len(chosen), settings.batch_size):
        part = chosen[begin : begin + settings.batch_size]
        sampling = GenerateSettings(
            max_new_tokens=settings.max_new_tokens, temperature=1.0, top_p=None, seed=settings.seed + begin
        )
        answers = sample_rollout(model, part, settings.samples, sampling, stop, reward, 0.0)
        for place in range(0, len(answers), settings.samples):
            group = answers[place : place + settings.samples]
            rewards.append([answer.reward for answer in group])
            best.append(max(group, key=lambda answer: answer.reward))
    return best, best_reward_curve(rewards)


def write_best(path: Path, best: Sequence[Answer], prompts: Sequence[Prompt], template: ChatTemplate) -> None:
    """A file for `sft`: rejection sampling is fine-tuning on the best answers."""
    lines = []
    for answer, prompt in zip(best, prompts, strict=False):
        text = template.decode_answer(answer.tokens)
        if text.strip():
            item: dict[str, Any] = {
                "messages": [*prompt.messages, {"role": "assistant", "content": text}],
                "reward": answer.reward,
            }
            lines.append(json.dumps(item, ensure_ascii=False) + "\n")
    write_atomically(path, "".join(lines))


def describe_curve(points: Sequence[RewardPoint]) -> str:
    """A table for a terminal."""
    rows = [f"{point.n:>6}{point.reward:>10.4f}{point.kl:>9.3f}" for point in points]
    return "\n".join([f"{'n':>6}{'reward':>10}{'kl':>9}", *rows])
