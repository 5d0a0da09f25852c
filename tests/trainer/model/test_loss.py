"""loss against torch's cross-entropy of the full logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from trainer.model import loss
from trainer.model.loss import linear_cross_entropy


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 16, generator=generator, requires_grad=True)
    head = torch.randn(96, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 96, (50,), generator=generator)
    weights = torch.randint(0, 3, (50,), generator=generator)
    return hidden, head, targets, weights


@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_value_and_gradients_equal_those_of_full_logits(problem, z_loss, monkeypatch):
    monkeypatch.setattr(loss, "BLOCK_BYTES", 16 * 96 * 4)  # several blocks, the last one short
    hidden, head, targets, weights = problem
    logits = hidden @ head.T
    each = F.cross_entropy(logits, targets, reduction="none")
    plain = ((each + z_loss * logits.logsumexp(dim=1) ** 2) * weights).sum() * 0.7
    expected = torch.autograd.grad(plain, (hidden, head))
    total, losses = linear_cross_entropy(hidden, head, targets, weights, z_loss)
    found = torch.autograd.grad(total * 0.7, (hidden, head))
    torch.testing.assert_close(total * 0.7, plain)
    torch.testing.assert_close(losses, each.detach())
    torch.testing.assert_close(found, expected)
    assert not losses.requires_grad


def test_huge_logits_do_not_overflow():
    hidden = torch.full((2, 4), 1e4)
    head = torch.eye(4)[:3] * torch.tensor([[1.0], [2.0], [-1.0]])
    total, losses = linear_cross_entropy(hidden, head, torch.tensor([1, 0]), torch.ones(2))
    assert losses.tolist() == [0.0, 1e4]
    assert total == 1e4


def test_without_gradients_none_are_computed(problem):
    hidden, head, targets, weights = problem
    with torch.no_grad():
        total, _ = linear_cross_entropy(hidden, head, targets, weights)
    expected = (F.cross_entropy(hidden @ head.T, targets, reduction="none") * weights).sum()
    torch.testing.assert_close(total, expected.detach())


def test_autocast_multiplies_in_bf16_and_sums_in_fp32(problem):
    hidden, head, targets, weights = problem
    plain, _ = linear_cross_entropy(hidden, head, targets, weights)
    with torch.autocast("cpu", torch.bfloat16):
        total, losses = linear_cross_entropy(hidden, head, targets, weights)
    (gradient,) = torch.autograd.grad(total, head)
    assert losses.dtype is torch.float32
    assert gradient.dtype is torch.float32
    assert total != plain
    torch.testing.assert_close(total, plain, rtol=0.02, atol=0)


def count_matmul_flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("bf16", [False, True])
def test_no_gradient_is_computed_that_nobody_asks_for(problem, bf16):
    """Matrix products counted by torch: one to measure a loss, one more for each of states and head that learn."""
    hidden, head, targets, weights = problem
    one = 2 * hidden.numel() * len(head)
    for learns, expected in (((0, 0), 1), ((1, 0), 2), ((0, 1), 2), ((1, 1), 3)):
        h, w = (x.detach().requires_grad_(bool(flag)) for x, flag in zip((hidden, head), learns, strict=True))

        def measure(h: torch.Tensor = h, w: torch.Tensor = w) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                return linear_cross_entropy(h, w, targets, weights)[0]

        assert count_matmul_flops(measure) == expected * one
        with torch.no_grad():
            assert count_matmul_flops(measure) == one
        with torch.inference_mode():
            assert count_matmul_flops(measure) == one
        if any(learns):
            measure().backward()
            assert [x.grad is not None for x in (h, w)] == [bool(flag) for flag in learns]


def test_a_frozen_head_changes_no_other_gradient(problem):
    hidden, head, targets, weights = problem
    found = []
    for frozen in (False, True):
        h, w = hidden.detach().requires_grad_(), head.detach().requires_grad_(not frozen)
        linear_cross_entropy(h, w, targets, weights, 1e-3)[0].backward()
        found.append(h.grad)
    assert torch.equal(*found)
