"""Log-probabilities and entropies equal those of the whole logits, and so do their gradients."""

from __future__ import annotations

import pytest
import torch

from trainer.model import loss
from trainer.model.token_log_probs import token_log_probs


@pytest.mark.parametrize("block_bytes", [4 * 50 * 16, 1 << 30])
def test_values_and_gradients_equal_those_of_the_logits(monkeypatch, block_bytes):
    monkeypatch.setattr(loss, "BLOCK_BYTES", block_bytes)  # several blocks, or one
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(37, 8, generator=generator), torch.randn(50, 8, generator=generator)
    targets = torch.randint(0, 50, (37,), generator=generator)
    weights, others = torch.randn(37, generator=generator), torch.randn(37, generator=generator)
    found, expected = [], []
    for results, ours in ((found, True), (expected, False)):
        h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        if ours:
            chosen, entropies = token_log_probs(h, w, targets)
        else:
            logs = (h @ w.T).log_softmax(1)
            chosen, entropies = logs.gather(1, targets[:, None])[:, 0], -(logs.exp() * logs).sum(1)
        (chosen * weights + entropies * others).sum().backward()
        results += [chosen.detach(), entropies.detach(), h.grad, w.grad]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_frozen_head_gets_no_gradient():
    h, w = torch.randn(3, 4, requires_grad=True), torch.randn(9, 4)
    token_log_probs(h, w, torch.tensor([0, 8, 3])).log_probs.sum().backward()
    assert h.grad is not None
    assert w.grad is None
