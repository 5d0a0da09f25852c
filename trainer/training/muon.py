"""Muon: momentum whose matrices are made orthogonal, for the weights between hidden states (Jordan et al. 2024).

The update of a matrix is the orthogonal factor of its momentum, so that every direction moves equally far, scaled to an
RMS of about 0.2 as in Liu et al. 2025 ("Muon is scalable for LLM training"): AdamW's learning rate and weight decay
then fit it as well. torch.optim.Muon does the same for weights of two dimensions; here a weight may also hold the
matrices of several experts, each of which is made orthogonal alone.

Sharded weights: matrices are divided along their longer side over the ranks, which share the work; per iteration the
ranks sum one product of the shorter side. Experts that are divided among ranks need no exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard

ITERATIONS = 5
A, B, C = 3.4445, -4.7750, 2.0315  # of Jordan's quintic: singular values end between 0.7 and 1.2, small ones grow fast
RMS = 0.2  # of an update at learning rate 1; AdamW's is 0.2 to 0.4 (Liu et al. 2025, section 2.2)


class Muon(torch.optim.Optimizer):
    """Muon for weights that are a matrix each, or one for each expert: [..., rows, columns].

    dtype: of the matrix products. compiled: compile the iteration, once for each shape.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        super().__init__(list(weights), {"lr": 0.0, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype
        self._orthogonalize: Callable[[Tensor], Tensor] = torch.compile(orthogonalize) if compiled else orthogonalize

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every weight that has a gradient, with Nesterov's momentum and decoupled weight decay."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                update = self._find_update(weight.grad.lerp(momentum, group["momentum"]))
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])

    def _find_update(self, gradient: Tensor) -> Tensor:
        """The update of one weight at learning rate 1, of the gradient's shape, type and placement."""
        rows, columns = gradient.shape[-2:]
        matrix = gradient.to(self._dtype)
        wide = matrix.mT if rows > columns else matrix
        if isinstance(wide, DTensor) and wide.ndim == 2:
            wide = wide.redistribute(placements=[Shard(1)] * wide.device_mesh.ndim)
        found = self._orthogonalize(wide) * (RMS * max(rows, columns) ** 0.5)
        update: Tensor = (found.mT if rows > columns else found).to(gradient.dtype)
        if isinstance(update, DTensor) and isinstance(gradient, DTensor):
            update = update.redistribute(placements=gradient.placements)
        return update


def orthogonalize(matrix: Tensor) -> Tensor:
    """About U V^T of a matrix U S V^T with no more rows than columns, [..., rows, columns].

    Newton-Schulz iterations of an odd polynomial: they act on the singular values alone.
    """
    x: Tensor = matrix / matrix.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    for _ in range(ITERATIONS):
        gram = _sum_parts(x @ x.mT)
        x = A * x + (B * gram + C * (gram @ gram)) @ x
    return x


def _sum_parts(gram: Tensor) -> Tensor:
    """The product of a matrix whose columns are divided over ranks: the sum of the ranks' products."""
    if isinstance(gram, DTensor) and any(placement.is_partial() for placement in gram.placements):
        whole: Tensor = gram.redistribute(placements=[Replicate()] * gram.device_mesh.ndim)
        return whole
    return gram
