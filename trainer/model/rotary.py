"""Rotary positions (RoPE, Su et al. 2021), and how they are stretched over a longer context than the original one.

Pairs are (i, i + D/2), as in Llama's weights for transformers, so exported weights need no permutation.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.settings import Settings


class RopeScaling(StrEnum):
    """How positions beyond the original context are mapped to those that the model has learned."""

    NONE = "none"
    LINEAR = "linear"  # positions divided by the factor (position interpolation, Chen et al. 2023)
    LLAMA3 = "llama3"  # slow rotations divided, fast ones kept, a ramp between (Llama 3.1 model card)
    YARN = "yarn"  # as llama3, but the ramp is linear in the pair's number; attention is sharper (Peng et al. 2023)


class RopeSettings(Settings):
    """Rotary positions. The defaults are Llama 2's; Llama 3 has a theta of 500,000 for its longer context."""

    theta: float = Field(
        default=10_000.0, description="base of the rotary frequencies; a larger one suits a longer context"
    )
    scaling: RopeScaling = Field(
        default=RopeScaling.NONE,
        description="how positions reach a longer context than the original: none, linear, llama3 or yarn",
    )
    factor: float = Field(default=1.0, description="new context length divided by the original one")
    original_context_length: int | None = Field(
        default=None, description="context length before scaling, in tokens; required by llama3 and yarn"
    )
    low_freq_factor: float = Field(
        default=1.0, description="llama3, yarn: frequencies with fewer turns per original context are divided by factor"
    )
    high_freq_factor: float = Field(
        default=4.0, description="frequencies with more turns per original context are kept; llama3 uses 4, yarn 32"
    )

    @model_validator(mode="after")
    def _check_scaling(self) -> RopeSettings:
        if self.scaling is not RopeScaling.NONE and self.factor < 1:
            raise ValueError(f"rope.factor = {self.factor} would shorten the context; give the new length over the old")
        if self.scaling in (RopeScaling.LLAMA3, RopeScaling.YARN) and not self.original_context_length:
            raise ValueError(f"rope.scaling = {self.scaling} needs rope.original_context_length, in tokens")
        if not 0 < self.low_freq_factor < self.high_freq_factor:
            raise ValueError("rope: 0 < low_freq_factor < high_freq_factor is needed")
        return self


def frequencies(settings: RopeSettings, head_dim: int) -> Tensor:
    """Radians per token for each pair: fp32 [D/2], the fastest first."""
    fastest_first = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    rate = 1.0 / settings.theta**fastest_first
    match settings.scaling:
        case RopeScaling.NONE:
            return rate
        case RopeScaling.LINEAR:
            return rate / settings.factor
        case RopeScaling.LLAMA3:
            turns = (settings.original_context_length or 0) * rate / (2 * math.pi)
            kept = ((turns - settings.low_freq_factor) / (settings.high_freq_factor - settings.low_freq_factor)).clamp(
                0, 1
            )
        case RopeScaling.YARN:
            kept = 1 - _yarn_ramp(settings, head_dim)
    return rate * kept + rate / settings.factor * (1 - kept)


def _yarn_ramp(settings: RopeSettings, head_dim: int) -> Tensor:
    """0 for pairs of more turns over the original context than high_freq_factor, 1 below low_freq_factor."""

    def pair(turns: float) -> float:
        wavelengths = math.log((settings.original_context_length or 0) / (turns * 2 * math.pi)) / math.log(
            settings.theta
        )
        return head_dim * wavelengths / 2

    low = max(math.floor(pair(settings.high_freq_factor)), 0)
    high = min(math.ceil(pair(settings.low_freq_factor)), head_dim - 1)
    return ((torch.arange(head_dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)


def attention_scale(settings: RopeSettings) -> float:
    """Factor of queries and keys: with yarn 0.1 ln(factor) + 1 (Peng et al. 2023, equation 22), else 1."""
    return 0.1 * math.log(settings.factor) + 1 if settings.scaling is RopeScaling.YARN else 1.0


def rotation(positions: Tensor, settings: RopeSettings, head_dim: int) -> tuple[Tensor, Tensor]:
    """positions int [B, S] (or [1, S] if equal for all sequences) -> cosines and sines, fp32 [B, 1, S, D].

    Both halves of a head have the same angles; the sines of the first half are negated for `rotate`.
    """
    angles = positions[:, None, :, None].float() * frequencies(settings, head_dim).to(positions.device)
    scale = attention_scale(settings)
    cosines, sines = angles.cos() * scale, angles.sin() * scale  # [B, 1, S, D/2]
    return torch.cat((cosines, cosines), dim=-1), torch.cat((-sines, sines), dim=-1)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate each pair of x [B, H, S, D] by the angle of its position; the result has the type of x.

    In bf16 the tables stay fp32 and the result is rounded once: with rounded tables the error of a score is 1.3 to 1.6
    times as large.
    """
    if not torch.is_grad_enabled():  # a node of autograd costs as much as the rotation of one token
        return _turn(x, cosines, sines)
    rotated: Tensor = _Rotate.apply(x, cosines, sines)  # type: ignore[no-untyped-call]
    return rotated


def _turn(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, dims=-1), sines).to(x.dtype)


class _Rotate(torch.autograd.Function):
    """The gradient is the rotation back, so only the tables are saved; half as many passes over memory as autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turn(x, cosines, sines)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        rolled = d_out.roll(d_out.shape[-1] // 2, dims=-1)
        return torch.addcmul(d_out * cosines, rolled, sines, value=-1).to(d_out.dtype), None, None
