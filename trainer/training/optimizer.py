"""AdamW with weight decay of matrices only, Muon for the matrices of blocks beside it, and gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from trainer.model.build import blocks_of
from trainer.model.experts import Router
from trainer.settings import Settings
from trainer.training.muon import Muon

MOMENTS = ("exp_avg", "exp_avg_sq", "step", "momentum_buffer")  # the state of a weight in AdamW and in Muon


class Algorithm(StrEnum):
    """What updates the weights."""

    ADAMW = "adamw"
    MUON = "muon"  # for the matrices of blocks; AdamW for all other weights


class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019) with the values of GPT-3 (Brown et al. 2020, appendix B) and Llama."""

    algorithm: Algorithm = Field(
        default=Algorithm.ADAMW,
        description="adamw, or muon: Muon for the matrices of blocks and AdamW for all other weights",
    )
    momentum: float = Field(
        default=0.95, ge=0, lt=1, description="muon: decay rate per step of the running mean of a matrix's gradients"
    )
    matrix_rate: float = Field(
        default=1.0, gt=0, description="muon: learning rate of matrices as a multiple of the schedule's"
    )
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


class SideBySide(torch.optim.Optimizer):
    """Several optimizers as one: each updates weights of its own."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._optimizers = optimizers
        for optimizer in optimizers:
            optimizer.state = self.state

    def step(self, closure: Any = None) -> Any:
        """Update all weights."""
        for optimizer in self._optimizers:
            optimizer.step()


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, *, bf16: bool = False, compiled: bool = False
) -> torch.optim.Optimizer:
    """Fused AdamW, matrices with weight decay and all other weights without; by the settings with Muon beside it.

    bf16, compiled: how Muon makes matrices orthogonal.
    """
    matrices = _find_matrices(model) if settings.algorithm is Algorithm.MUON else set()
    kept = set() if settings.decay_embedding else _weights_of(model, nn.Embedding)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    chosen = [weight for weight in weights if weight in matrices]
    rest = [weight for weight in weights if weight not in matrices]
    if not chosen:
        return _build_adamw(rest, kept, settings)
    dtype = torch.bfloat16 if bf16 else torch.float32
    muon = Muon(chosen, settings.momentum, settings.weight_decay, dtype, compiled)
    muon.param_groups[0]["rate"] = settings.matrix_rate
    return SideBySide(muon, _build_adamw(rest, kept, settings)) if rest else muon


def _find_matrices(model: nn.Module) -> set[nn.Parameter]:
    """The weights between hidden states: not embeddings, heads, routers, position biases or norms."""
    inside = {weight for block in blocks_of(model) for weight in block.parameters() if weight.ndim >= 2}
    return inside - _weights_of(model, Router)


def _weights_of(model: nn.Module, kind: type[nn.Module]) -> set[nn.Parameter]:
    """The weights of all modules of a kind, wherever they are in the model."""
    return {weight for module in model.modules() if isinstance(module, kind) for weight in module.parameters()}


def _build_adamw(
    weights: list[nn.Parameter], kept: set[nn.Parameter], settings: OptimizerSettings
) -> torch.optim.AdamW:
    """kept: matrices without weight decay."""
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for weight in weights:
        (decayed if weight.ndim >= 2 and weight not in kept else plain).append(weight)
    groups = [
        {"params": weights, "weight_decay": decay}
        for kind, decay in ((decayed, settings.weight_decay), (plain, 0.0))
        for weights in split_by_mesh(kind)
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=settings.eps, fused=True)


def split_by_mesh(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    """Groups of equal device meshes: an operation on a list of DTensors needs them on one mesh."""
    groups: dict[DeviceMesh | None, list[Tensor]] = {}
    for weight in weights:
        groups.setdefault(weight.device_mesh if isinstance(weight, DTensor) else None, []).append(weight)
    return list(groups.values())


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the schedule's rate; a group may have a multiple of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate", 1.0)


def clip_gradients(model: nn.Module, limit: float | None) -> float:
    """Scale the gradients so that their global norm is at most `limit`; returns the norm before clipping."""
    groups = split_by_mesh(weight for weight in model.parameters() if weight.grad is not None)
    norms = [
        torch.nn.utils.get_total_norm([weight.grad for weight in group if weight.grad is not None]) for group in groups
    ]
    whole = torch.stack([norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]).norm()
    for group in groups if limit is not None else ():
        torch.nn.utils.clip_grads_with_norm_(group, limit or 0.0, whole)
    return float(whole)


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """The optimizer's state by the weight's name: (`blocks.0.attention.out.weight/exp_avg`, tensor)."""
    for name, weight in model.named_parameters():
        for moment in MOMENTS:
            if moment in optimizer.state[weight]:
                yield f"{name}/{moment}", optimizer.state[weight][moment]
