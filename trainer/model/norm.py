"""RMSNorm: x divided by its root mean square, times a learned scale (Zhang and Sennrich 2019).

CUDA has a fused kernel; on a CPU torch 2.13 composes the norm from many small operations, each a pass over memory
(measured: 8 to 10 times as slow as LayerNorm, which has a kernel). This version has three passes forward and six
backward: 3 times as slow.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainer.model.parts import local_weight


class RMSNorm(nn.Module):
    """Normalizes the last dimension."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x [..., W] -> the same shape."""
        weight = local_weight(self.weight)
        if x.is_cuda:
            return F.rms_norm(x, weight.shape, weight, self.eps)
        if not torch.is_grad_enabled():  # a node of autograd costs as much as the norm of one token
            return (x * _scale(x, self.eps)).mul_(weight)
        normed: Tensor = _RMSNorm.apply(x, weight, self.eps)  # type: ignore[no-untyped-call]
        return normed


def _scale(x: Tensor, eps: float) -> Tensor:
    """1 / root mean square, [..., 1]."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = _scale(x, eps)
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        normed = x * scale
        product = (normed * d_out).flatten(0, -2)  # [N, W]
        parallel = (product @ weight.to(x.dtype) / x.shape[-1]).view(scale.shape)  # to x
        d_weight = product.sum(dim=0).to(weight.dtype)
        d_x = normed.mul_(-parallel).add_(d_out * weight).mul_(scale)
        return d_x, d_weight, None
