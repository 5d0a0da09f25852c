"""Advantages, KL estimators and clipped losses against sums written out."""

from __future__ import annotations

import pytest
import torch

from trainer.losses.policy import (
    GroupBaseline,
    KlEstimator,
    adapt_coefficient,
    clipped_policy_loss,
    clipped_value_loss,
    estimate_kl,
    generalized_advantages,
    group_advantages,
    whiten,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("discount", "smoothing"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (1.0, 0.0)])
def test_gae_is_the_closed_form_sum(discount, smoothing):
    rewards, values = draw(3, 7), draw(3, 7, seed=1)
    lengths = [7, 4, 1]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    found = generalized_advantages(rewards, values, mask, discount, smoothing)
    for row, length in enumerate(lengths):
        r, v = rewards[row].tolist(), [*values[row, :length].tolist(), 0.0]
        for t in range(length):
            delta = [r[k] + discount * v[k + 1] - v[k] for k in range(length)]
            expected = sum((discount * smoothing) ** (k - t) * delta[k] for k in range(t, length))
            assert float(found.advantages[row, t]) == pytest.approx(expected, abs=1e-12)
            assert float(found.returns[row, t]) == pytest.approx(expected + v[t], abs=1e-12)
    assert not found.advantages[~mask].any()
    assert not found.returns[~mask].any()


def test_with_smoothing_1_the_return_is_the_sum_of_later_rewards():
    rewards, mask = draw(2, 5), torch.ones(2, 5, dtype=torch.bool)
    found = generalized_advantages(rewards, draw(2, 5, seed=1), mask, 1.0, 1.0)
    torch.testing.assert_close(found.returns, rewards.flip(1).cumsum(1).flip(1), rtol=0, atol=1e-12)


def test_whitened_values_have_mean_0_and_variance_1_over_the_mask():
    values, mask = 5 + 3 * draw(4, 6), torch.rand(4, 6, generator=torch.Generator().manual_seed(2)) < 0.6
    found = whiten(values, mask)[mask]
    assert float(found.mean()) == pytest.approx(0, abs=1e-12)
    assert float(found.var()) == pytest.approx(1, rel=1e-6)
    assert float(whiten(torch.ones(1, 3), torch.ones(1, 3)).abs().max()) == 0  # equal values, no division by 0


def test_kl_estimators_against_the_exact_divergence():
    policy, reference = (draw(4, seed=seed).log_softmax(0) for seed in (3, 4))
    exact = float((policy.exp() * (policy - reference)).sum())
    for estimator in (KlEstimator.K1, KlEstimator.K3):
        expected = (policy.exp() * estimate_kl(policy, reference, estimator)).sum()
        assert float(expected) == pytest.approx(exact, rel=1e-12)
    for estimator in (KlEstimator.K2, KlEstimator.K3):
        assert float(estimate_kl(policy, reference, estimator).min()) >= 0


def test_group_advantages():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    alone = group_advantages(rewards, GroupBaseline.LEAVE_ONE_OUT)
    for n in range(4):
        others = [float(rewards[0, k]) for k in range(4) if k != n]
        assert float(alone[0, n]) == pytest.approx(float(rewards[0, n]) - sum(others) / 3)
    grouped = group_advantages(rewards, GroupBaseline.GROUP)
    assert grouped[0].tolist() == pytest.approx([0.866, -0.866, -0.866, 0.866], abs=1e-3)
    assert grouped[1].tolist() == [0, 0, 0, 0]  # equal rewards teach nothing
    assert group_advantages(rewards, GroupBaseline.MEAN)[0].tolist() == [0.5, -0.5, -0.5, 0.5]


def test_the_policy_gains_nothing_beyond_the_clip():
    sampled = torch.zeros(1, 4, dtype=torch.float64)
    policy = torch.tensor([[1.5, 1.5, 0.5, 0.5]], dtype=torch.float64).log().requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]], dtype=torch.float64)
    loss = clipped_policy_loss(policy, sampled, advantages, clip=0.2)
    loss.sum().backward()
    assert loss.tolist()[0] == pytest.approx([-1.2, 1.5, -0.5, 0.8])
    assert [value == 0 for value in policy.grad.tolist()[0]] == [True, False, False, True]
    higher = clipped_policy_loss(policy.detach(), sampled, advantages, clip=0.2, clip_high=0.4)
    assert higher.tolist()[0] == pytest.approx([-1.4, 1.5, -0.5, 0.8])


def test_at_ratio_1_the_gradient_is_that_of_reinforce():
    policy = draw(2, 3).requires_grad_()
    advantages = draw(2, 3, seed=1)
    clipped_policy_loss(policy, policy.detach(), advantages, 0.2).sum().backward()
    torch.testing.assert_close(policy.grad, -advantages, rtol=1e-12, atol=1e-12)


def test_the_value_gains_nothing_beyond_the_clip():
    predicted, returns = torch.zeros(4), torch.tensor([1.0, 1.0, -1.0, 0.1])
    values = torch.tensor([0.5, 0.1, 0.5, 0.5])
    assert clipped_value_loss(values, predicted, returns, 0.2).tolist() == pytest.approx([0.32, 0.405, 1.125, 0.08])
    assert clipped_value_loss(values, predicted, returns, None).tolist() == pytest.approx([0.125, 0.405, 1.125, 0.08])


def test_the_coefficient_follows_the_divergence():
    assert adapt_coefficient(0.1, 12.0, 6.0, 10) == pytest.approx(0.102)
    assert adapt_coefficient(0.1, 0.0, 6.0, 10) == pytest.approx(0.098)
    assert adapt_coefficient(0.1, 6.6, 6.0, 10) == pytest.approx(0.101)
