"""AdamW with weight decay of matrices only, and gradient clipping."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from trainer.settings import Settings

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # the state of a weight in torch's AdamW


class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019) with the values of GPT-3 (Brown et al. 2020, appendix B) and Llama."""

    beta1: float = Field(default=0.9, ge=0, lt=1, description="decay rate per step of the running mean of gradients")
    beta2: float = Field(
        default=0.95, ge=0, lt=1, description="decay rate per step of the running mean of squared gradients"
    )
    eps: float = Field(
        default=1e-8, gt=0, description="added to the root of the mean squared gradient, against division by 0"
    )
    weight_decay: float = Field(
        default=0.1, ge=0, description="weight decay of weight matrices, multiplied by the learning rate"
    )
    decay_embedding: bool = Field(
        default=False, description="apply weight decay to the embedding too; its norm is steadier without (OLMo 2, 3.3)"
    )
    max_grad_norm: float | None = Field(
        default=1.0, gt=0, description="largest global gradient norm, a larger one is clipped; no clipping if unset"
    )


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """Fused AdamW with two groups: matrices with weight decay, all other weights without."""
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, weight in model.named_parameters():
        is_embedding = name.split(".")[0] == "embedding"
        (decayed if weight.ndim >= 2 and (settings.decay_embedding or not is_embedding) else plain).append(weight)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=betas, eps=settings.eps, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(model: nn.Module, limit: float | None) -> float:
    """Scale the gradients so that their global norm is at most `limit`; returns the norm before clipping."""
    weights = list(model.parameters())
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
    if limit is not None:
        torch.nn.utils.clip_grads_with_norm_(weights, limit, whole)
    return float(whole)


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """The optimizer's state by the weight's name: (`blocks.0.attention.out.weight/exp_avg`, tensor)."""
    for name, weight in model.named_parameters():
        for moment in MOMENTS:
            if moment in optimizer.state[weight]:
                yield f"{name}/{moment}", optimizer.state[weight][moment]
