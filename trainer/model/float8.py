"""Linear layers whose three matrix products are in fp8, as Micikevicius et al. 2022 ("FP8 formats for deep learning").

States and weights are e4m3, gradients e5m2. Each tensor has one scale, from its own largest value, so that nothing
overflows and no history is kept; products add up in fp32. What a layer keeps for the backward pass takes half of bf16.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import ScalingType

from trainer.errors import UserError

FORWARD, BACKWARD = torch.float8_e4m3fn, torch.float8_e5m2
SMALLEST = 1e-30  # of a tensor's largest value, so that zeros have a scale
MULTIPLE = 16  # of the inner dimension of a product and of its columns, in the kernels


class Float8Linear(nn.Linear):
    """x W^T without bias; the weight stays in its own type and keeps its name."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out], in autocast's type where that is on."""
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        found: Tensor = _Float8Product.apply(x.flatten(0, -2), self.weight, dtype)  # type: ignore[no-untyped-call]
        return found.view(*x.shape[:-1], -1)


def use_float8(blocks: list[nn.Module]) -> None:
    """Replaces the linear layers of blocks, on the meta device; not experts, and not frozen layers with adapters."""
    for module in [module for block in blocks for module in block.modules()]:
        for name, child in list(module.named_children()):
            if type(child) is not nn.Linear:
                continue
            if child.in_features % MULTIPLE or child.out_features % MULTIPLE:
                raise UserError(
                    f"loop.precision = float8 needs matrices with multiples of {MULTIPLE} as rows and columns, and "
                    f"{name} has {child.out_features} x {child.in_features}; change the model's sizes, or use bfloat16"
                )
            with torch.device("meta"):
                setattr(module, name, Float8Linear(child.in_features, child.out_features, bias=False))


def quantize(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x in an fp8 type, and its scale []: x is about their product."""
    scale = x.abs().amax().float().clamp(min=SMALLEST) / torch.finfo(dtype).max
    return (x.float() / scale).to(dtype), scale


def multiply(a: Tensor, a_scale: Tensor, b: Tensor, b_scale: Tensor, dtype: torch.dtype) -> Tensor:
    """a [N, K] in rows, b [K, M] in columns, both fp8 -> their product times both scales, [N, M]."""
    kind = ScalingType.TensorWise
    return F.scaled_mm(a, b, a_scale, kind, b_scale, kind, output_dtype=dtype)


class _Float8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """x [N, in], weight [out, in] -> [N, out]."""
        x8, x_scale = quantize(x, FORWARD)
        w8, w_scale = quantize(weight, FORWARD)
        # The weight itself: sharded training takes its memory back meanwhile, which it could not of a copy in fp8.
        ctx.save_for_backward(x8, x_scale, weight)
        ctx.dtype = x.dtype
        return multiply(x8, x_scale, w8.t(), w_scale, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor, None]:
        x8, x_scale, weight = ctx.saved_tensors
        d8, d_scale = quantize(d_out, BACKWARD)
        w8, w_scale = quantize(weight, FORWARD)
        d_x = multiply(d8, d_scale, _in_columns(w8), w_scale, ctx.dtype)
        d8, x8 = _pad_rows(d8), _pad_rows(x8)
        d_weight = multiply(d8.t().contiguous(), d_scale, _in_columns(x8), x_scale, weight.dtype)
        return d_x, d_weight, None


def _in_columns(matrix: Tensor) -> Tensor:
    """The same matrix, stored column by column."""
    return matrix.t().contiguous().t()


def _pad_rows(matrix: Tensor) -> Tensor:
    """fp8 [N, M] with zeros below, N then a multiple of MULTIPLE."""
    rows = -len(matrix) % MULTIPLE
    return F.pad(matrix.view(torch.uint8), (0, 0, 0, rows)).view(matrix.dtype) if rows else matrix
