"""Losses of a policy that learns from rewards of its answers: PPO (Schulman et al. 2017), GRPO (Shao et al. 2024).

B answers of at most T tokens. `mask`, bool [B, T], is true on the tokens of an answer, false behind its end; what
stands there has no effect. Losses are given for each token [B, T], so that the caller divides by a global count.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor


class KlEstimator(StrEnum):
    """Estimators of KL(policy || reference) from sampled tokens (Schulman 2020, "Approximating KL divergence")."""

    K1 = "k1"  # log ratio: unbiased, of either sign
    K2 = "k2"  # half its square: never negative, biased
    K3 = "k3"  # 1/ratio - 1 + log ratio: unbiased and never negative


def estimate_kl(policy: Tensor, reference: Tensor, estimator: KlEstimator) -> Tensor:
    """An estimate at each token, of the shape of the log-probabilities, which are those of sampled tokens."""
    difference = policy - reference
    match estimator:
        case KlEstimator.K1:
            return difference
        case KlEstimator.K2:
            return difference.square() / 2
        case KlEstimator.K3:
            return torch.exp(-difference) - 1 + difference


class Advantages(NamedTuple):
    """How much better than expected each token was, and what the value model should have predicted; [B, T] both."""

    advantages: Tensor
    returns: Tensor


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, discount: float = 1.0, smoothing: float = 0.95
) -> Advantages:
    """Generalized advantage estimation (Schulman et al. 2016); 0 outside the mask.

    rewards [B, T]: given after each token. values [B, T]: predicted before each token. smoothing: lambda.
    """
    rewards, values = rewards * mask, values * mask
    after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    surprises = (rewards + discount * after - values) * mask
    advantages = torch.zeros_like(values)
    running = torch.zeros_like(values[:, 0])
    for step in reversed(range(values.shape[1])):
        running = surprises[:, step] + discount * smoothing * running
        advantages[:, step] = running
    return Advantages(advantages * mask, (advantages + values) * mask)


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """The values with mean 0 and variance 1 over the mask; 0 outside it."""
    count = mask.sum().clamp(min=1)
    centered = (values - (values * mask).sum() / count) * mask
    variance = centered.square().sum() / (count - 1).clamp(min=1)
    return centered * torch.rsqrt(variance + 1e-8)


class GroupBaseline(StrEnum):
    """What the reward of an answer is compared with: other answers to the same prompt."""

    GROUP = "group"  # the mean of the group, divided by its standard deviation (GRPO)
    MEAN = "mean"  # the mean of the group (Dr. GRPO, Liu et al. 2025): hard and easy prompts weigh alike
    LEAVE_ONE_OUT = "leave_one_out"  # the mean of the others (RLOO, Ahmadian et al. 2024)


def group_advantages(rewards: Tensor, baseline: GroupBaseline) -> Tensor:
    """[P, n] rewards of n answers to each of P prompts -> their advantages [P, n]."""
    centered = rewards - rewards.mean(dim=1, keepdim=True)
    answers = rewards.shape[1]
    match baseline:
        case GroupBaseline.GROUP:
            return centered / (rewards.std(dim=1, keepdim=True) + 1e-4)
        case GroupBaseline.MEAN:
            return centered
        case GroupBaseline.LEAVE_ONE_OUT:
            return centered * (answers / (answers - 1))


def clipped_policy_loss(
    policy: Tensor, sampled: Tensor, advantages: Tensor, clip: float, clip_high: float | None = None
) -> Tensor:
    """PPO's loss of each token [B, T]: no gain from moving a token's probability beyond 1 - clip to 1 + clip_high.

    policy, sampled: log-probabilities [B, T] of the tokens now and when they were sampled. clip_high: an own upper
    bound (DAPO, Yu et al. 2025); equal to `clip` if None.
    """
    ratio = torch.exp(policy - sampled)
    bounded = ratio.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    return torch.maximum(-advantages * ratio, -advantages * bounded)


def clipped_value_loss(values: Tensor, predicted: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """The squared error of each token [B, T], halved; no gain from moving a value by more than `clip`.

    values, predicted: the value model's output now and when the answer was sampled.
    """
    loss = (values - returns).square() / 2
    if clip is None:
        return loss
    bounded = predicted + (values - predicted).clamp(-clip, clip)
    return torch.maximum(loss, (bounded - returns).square() / 2)


def adapt_coefficient(coefficient: float, divergence: float, target: float, horizon: float) -> float:
    """The KL coefficient after a rollout (Ziegler et al. 2019): raised where the divergence is above its target.

    horizon: rollouts in which a constant error of a fifth changes the coefficient by a factor of e to the fifth.
    """
    error = min(max(divergence / target - 1, -0.2), 0.2)
    return coefficient * (1 + error / horizon)
