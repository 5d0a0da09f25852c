"""Rollouts: a policy's own answers to prompts, with their rewards, as the data of its next steps.

A rollout is stored in a checkpoint as JSON, because a run may be stopped between two steps that learn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.chat.chat_batches import fill_rows
from trainer.chat.chat_template import Encoded
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings, sample_answers
from trainer.rollouts.prompts import Prompt

# The rewards of answers: (prompts, answers as tokens without the stop token) -> one number each.
RewardFunction = Callable[[Sequence[Prompt], Sequence[Sequence[int]]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a prompt."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]  # the stop token included, if there is one
    stopped: bool
    reward: float

    @property
    def text(self) -> tuple[int, ...]:
        """The tokens without the stop token."""
        return self.tokens[:-1] if self.stopped else self.tokens

    def encode(self) -> Encoded:
        """Prompt and answer; learned are the tokens of the answer."""
        tokens = np.array([*self.prompt, *self.tokens], np.int32)
        return Encoded(tokens, np.arange(len(tokens)) >= len(self.prompt))


@dataclass(frozen=True)
class Rollout:
    """Answers of one policy, those to one prompt side by side, and what was measured when they were sampled.

    All tensors are [answers, S] with S as in `inputs`: a column holds what belongs to the token predicted there.
    """

    answers: tuple[Answer, ...]
    samples: int  # answers to each prompt
    verified: float | None = None  # mean of the prompts' verifiers, where another reward is learned from
    # log_probs, reference, values (0 without a value model), advantages, returns
    measured: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """tokens, targets, weights, positions, document_ids."""
        return fill_rows([[answer.encode()] for answer in self.answers])

    def rewards(self) -> Tensor:
        """[answers]."""
        return torch.tensor([answer.reward for answer in self.answers])

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which the same bits are read."""
        answers = [[answer.prompt, answer.tokens, answer.stopped, answer.reward] for answer in self.answers]
        measured = {name: tensor.tolist() for name, tensor in self.measured.items()}
        return {"answers": answers, "samples": self.samples, "verified": self.verified, "measured": measured}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Rollout:
        """The rollout of `to_json`."""
        answers = [Answer(tuple(a), tuple(b), bool(c), float(d)) for a, b, c, d in values["answers"]]
        measured = {name: torch.tensor(rows) for name, rows in values["measured"].items()}
        return cls(tuple(answers), int(values["samples"]), values["verified"], measured)


def join_rollouts(parts: Sequence[Rollout]) -> Rollout:
    """Rollouts of one policy, with equally many answers, as one; their columns get the longest one's length."""
    if len(parts) == 1:
        return parts[0]
    length = max(len(part.inputs["tokens"][0]) for part in parts)

    def join(name: str) -> Tensor:
        columns = [part.measured[name] for part in parts]
        return torch.cat([F.pad(column, (0, length - column.shape[1])) for column in columns])

    answers = tuple(answer for part in parts for answer in part.answers)
    verified = [part.verified for part in parts if part.verified is not None]
    gold = float(np.mean(verified)) if verified else None
    return Rollout(answers, parts[0].samples, gold, {name: join(name) for name in parts[0].measured})


def sample_rollout(
    policy: Decoder,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    samples: int,
    settings: GenerateSettings,
    stop: int,
    reward: RewardFunction,
    unfinished_penalty: float,
) -> tuple[Answer, ...]:
    """`samples` answers to each prompt and their rewards, less a penalty for those that the limit ended.

    seeds: one for each prompt, so that its answers depend neither on its place nor on what is asked beside it.
    """
    tokens = [prompt.tokens for prompt in prompts]
    found = sample_answers(policy, tokens, settings, [stop], samples, seeds=seeds)
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    drawn = [sample for group in found for sample in group]
    rewards = reward(repeated, [sample.answer for sample in drawn])
    return tuple(
        Answer(
            prompt.tokens, tuple(sample.tokens), sample.stopped, value - (0 if sample.stopped else unfinished_penalty)
        )
        for prompt, sample, value in zip(repeated, drawn, rewards, strict=True)
    )
