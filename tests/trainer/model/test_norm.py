"""norm against torch's composed RMSNorm."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainer.model.norm import RMSNorm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_equal_torch(dtype):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(3, 5, 16, generator=generator) * 3).to(dtype).requires_grad_()
    weight = torch.randn(16, generator=generator)
    norm = RMSNorm(16, 1e-3)
    with torch.no_grad():
        norm.weight.copy_(weight)
    d_out = torch.randn(3, 5, 16, generator=generator).to(dtype)
    found = torch.autograd.grad(norm(x), (x, norm.weight), d_out)
    wide = x.detach().float().requires_grad_()
    reference = weight.clone().requires_grad_()
    expected = torch.autograd.grad(F.rms_norm(wide, (16,), reference, 1e-3), (wide, reference), d_out.float())
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 0.05, "atol": 0.1}
    torch.testing.assert_close(norm(x).float(), F.rms_norm(wide, (16,), reference, 1e-3), **tolerance)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.float(), b, **tolerance)
    assert norm(x).dtype is dtype


def test_zeros_stay_zeros():
    assert torch.equal(RMSNorm(4, 1e-5)(torch.zeros(2, 4)), torch.zeros(2, 4))
