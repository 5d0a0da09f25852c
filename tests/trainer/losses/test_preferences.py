"""DPO and KTO equal the published formulas, written out in fp64, and have their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.losses.preferences import PairLogProbs, dpo_loss, kto_loss, mismatched_divergence, preference_margins

LOG_PROBS = st.lists(st.floats(-200, 0), min_size=8, max_size=8)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@given(LOG_PROBS, st.floats(0.01, 1), st.floats(0, 0.5))
def test_dpo_is_the_smoothed_cross_entropy_of_the_margin(values, beta, smoothing):
    a, b, c, d = torch.tensor(values, dtype=torch.float64).view(4, 2)
    found = dpo_loss(PairLogProbs(a, b), PairLogProbs(c, d), beta, smoothing)
    for n in range(2):
        margin = beta * float((a[n] - b[n]) - (c[n] - d[n]))
        expected = (1 - smoothing) * softplus(-margin) + smoothing * softplus(margin)
        assert float(found[n]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_dpo_without_a_reference_takes_a_flat_one():
    policy = PairLogProbs(torch.tensor([-3.0, -2.0]), torch.tensor([-4.0, -1.0]))
    flat = PairLogProbs(torch.full((2,), -9.0), torch.full((2,), -9.0))
    assert torch.equal(dpo_loss(policy, None, 0.1), dpo_loss(policy, flat, 0.1))
    assert preference_margins(policy, None).tolist() == [1, -1]


def test_dpo_at_the_reference_is_log_2_and_raises_the_chosen_answer():
    chosen, rejected = (torch.tensor([-5.0], requires_grad=True) for _ in range(2))
    policy = PairLogProbs(chosen, rejected)
    loss = dpo_loss(policy, PairLogProbs(chosen.detach(), rejected.detach()), beta=0.1)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert float(chosen.grad) == pytest.approx(-0.05)
    assert float(rejected.grad) == pytest.approx(0.05)


@given(LOG_PROBS, st.floats(0.01, 1), st.floats(0, 3))
def test_kto_is_its_value_function(values, beta, divergence):
    policy, reference = torch.tensor(values, dtype=torch.float64).view(2, 4)
    desirable = torch.tensor([True, False, True, False])
    found = kto_loss(policy, reference, desirable, divergence, beta, 1.5, 0.5)
    for n in range(4):
        gain = beta * (float(policy[n] - reference[n]) - divergence)
        expected = 1.5 * (1 - sigmoid(gain)) if desirable[n] else 0.5 * (1 - sigmoid(-gain))
        assert float(found[n]) == pytest.approx(expected, abs=1e-9)


def test_the_drift_is_a_mean_and_never_negative():
    assert mismatched_divergence(1.0, 2) == 0.5
    assert mismatched_divergence(-3.0, 2) == 0
    assert mismatched_divergence(0.0, 0) == 0  # nothing was measured
