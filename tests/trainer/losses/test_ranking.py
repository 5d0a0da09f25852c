"""The ranking loss is the cross-entropy of Bradley-Terry, and recovers known strengths."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from trainer.losses.ranking import ranking_loss


def test_it_is_the_cross_entropy_of_the_difference():
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, margins = torch.randn(3, 20, generator=generator, dtype=torch.float64)
    ties = torch.arange(20) % 3 == 0
    labels = torch.where(ties, 0.5, 1.0).to(torch.float64)
    expected = binary_cross_entropy_with_logits(chosen - rejected - margins, labels, reduction="none")
    torch.testing.assert_close(ranking_loss(chosen, rejected, margins, ties), expected, rtol=1e-12, atol=1e-12)


def test_its_minimum_recovers_the_strengths_of_players():
    true = torch.tensor([1.0, 0.3, -0.2, -1.1], dtype=torch.float64)
    a, b = torch.triu_indices(4, 4, 1)
    probability = torch.sigmoid(true[a] - true[b])
    found = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([found], max_iter=200, tolerance_grad=1e-12)
    none = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.bool)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        won, lost = ranking_loss(found[a], found[b], *none), ranking_loss(found[b], found[a], *none)
        loss = (probability * won + (1 - probability) * lost).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(found.detach() - found.detach().mean(), true - true.mean(), rtol=0, atol=1e-6)
