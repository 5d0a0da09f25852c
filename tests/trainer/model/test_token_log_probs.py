"""Log-probabilities and entropies equal those of the whole logits, and so do their gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer.model.small_models import TINY, tokens
from trainer.model import loss
from trainer.model.decoder import Decoder
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


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest result of any operation has."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for part in found if isinstance(found, tuple) else (found,):
            if isinstance(part, torch.Tensor):
                self.numbers = max(self.numbers, part.numel())
        return found


@pytest.mark.parametrize("vocabulary", [64, 1024])
def test_memory_does_not_grow_with_the_vocabulary(monkeypatch, vocabulary):
    block = 16 * 1024  # numbers; all logits would be 512 * 1024
    monkeypatch.setattr(loss, "BLOCK_BYTES", 4 * block)
    hidden, head = torch.randn(512, 8, requires_grad=True), torch.randn(vocabulary, 8, requires_grad=True)
    with LargestTensor() as largest:
        found = token_log_probs(hidden, head, torch.zeros(512, dtype=torch.long))
        (found.log_probs + found.entropies).sum().backward()
    assert largest.numbers == block
    assert head.grad is not None


def test_tokens_without_weight_do_not_pay_for_the_head(monkeypatch):
    """The same numbers and gradients for the weighted tokens, and 0 for the others."""
    torch.manual_seed(0)
    model, text = Decoder(TINY), tokens(3, 41)
    targets, weights = text[:, 1:], torch.rand(3, 40) < 0.2
    scored = 0

    def count(hidden: torch.Tensor, *given: torch.Tensor) -> Any:
        nonlocal scored
        scored = len(hidden)
        return token_log_probs(hidden, *given)

    monkeypatch.setattr("trainer.model.decoder.token_log_probs", count)
    found = []
    for given in (weights, None):
        model.zero_grad()
        output = model(text[:, :-1], targets, given, log_probs=True).chosen
        assert scored == (targets.numel() if given is None else int(weights.sum()))
        sum((part * weights).sum() for part in output).backward()
        found.append([*(part.detach() * weights for part in output), *(weight.grad for weight in model.parameters())])
        if given is not None:
            assert not any((part[~weights] != 0).any() for part in output)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
