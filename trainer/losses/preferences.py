"""Learn from preferences without a reward model: DPO (Rafailov et al. 2023) and KTO (Ethayarajh et al. 2024).

The log-probability of an answer is the sum over its tokens, given the prompt. All tensors are [B], in nats.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PairLogProbs(NamedTuple):
    """Log-probabilities [B] of both answers to each prompt."""

    chosen: Tensor
    rejected: Tensor


def dpo_loss(policy: PairLogProbs, reference: PairLogProbs | None, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """The loss of each pair [B].

    -log sigmoid(beta * margin), the margin being how much more than the reference the policy prefers the chosen answer.
    reference: None for the reference-free form, in which the reference finds all answers equally likely.
    label_smoothing: the share of the labels that may be wrong, 0 to 0.5 (Mitchell 2023, conservative DPO).
    """
    margins = beta * preference_margins(policy, reference)
    return -(1 - label_smoothing) * F.logsigmoid(margins) - label_smoothing * F.logsigmoid(-margins)


def preference_margins(policy: PairLogProbs, reference: PairLogProbs | None) -> Tensor:
    """[B]: the implicit reward of the chosen answer less that of the rejected one, divided by beta."""
    margins = policy.chosen - policy.rejected
    return margins if reference is None else margins - (reference.chosen - reference.rejected)


def kto_loss(
    policy: Tensor,
    reference: Tensor,
    desirable: Tensor,
    divergence: float,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """The loss of each answer [B], which is desirable or not by itself: no pairs are needed.

    policy, reference: log-probabilities of the answers. desirable: bool. divergence: `mismatched_divergence`.
    """
    gain = policy - reference - divergence
    signed = torch.where(desirable, gain, -gain)
    weights = torch.where(desirable, desirable_weight, undesirable_weight)
    return weights * (1 - torch.sigmoid(beta * signed))


def mismatched_divergence(gain: float, count: float) -> float:
    """An estimate of the KL divergence from the reference, at least 0, and 0 where there is nothing to measure.

    gain: by how much the policy's log-probabilities exceed the reference's, summed over `count` answers that belong to
    other prompts of the step, which a policy has no reason to prefer: what it gains on them is its drift.
    """
    return max(0.0, gain / count) if count else 0.0
