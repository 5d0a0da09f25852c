"""Cross-entropy from hidden states, a block of tokens at a time, without the logits of a whole batch.

The logits of a batch are its largest tensor by far ([tokens, vocabulary] in fp32, and their gradient again). Here one
block of them exists at a time, and its gradients are computed while it is in the cache: the same three matrix products
as usual, with less memory and memory traffic. `torch.nn.functional.linear_cross_entropy` does so too, but returns only
the sum; training also needs the loss of every token (by domain, by document), token weights, and the z-loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_BYTES = 16 << 20  # of fp32 logits on a CPU: about half of a server's last-level cache
CUDA_BLOCK_BYTES = 256 << 20  # enough rows to fill the matrix units


def linear_cross_entropy(
    hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, z_loss: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the losses [], and every token's loss [N] in nats, without a gradient.

    hidden [N, W], head [V, W], targets int [N], weights [N] (0 excludes a token).
    z_loss: weight of the squared log-partition, which is added to the sum and keeps logits near 0 (PaLM, Chowdhery et
    al. 2022, section 5, uses 1e-4); the losses of the tokens do not include it.
    """
    total, losses = _LinearCrossEntropy.apply(hidden, head, targets, weights, z_loss)  # type: ignore[no-untyped-call]
    return total, losses


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, z_loss: float
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        h, w = hidden.to(dtype), head.to(dtype)
        learns = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        gradient = torch.empty_like(h) if learns else None
        head_gradient = torch.zeros_like(head, dtype=torch.float32) if learns else None
        losses = torch.empty(len(h), dtype=torch.float32, device=h.device)
        total = torch.zeros((), dtype=torch.float32, device=h.device)
        with torch.autocast(device, enabled=False):
            for block in range(0, len(h), rows_in_block(len(w), h.is_cuda)):
                part = slice(block, block + rows_in_block(len(w), h.is_cuda))
                probabilities, losses[part], lse = _block_loss(h[part] @ w.T, targets[part])
                weight = weights[part].float()
                total += (losses[part] * weight).sum() + z_loss * (lse.square() * weight).sum()
                if gradient is None or head_gradient is None:
                    continue
                d = _logit_gradient(probabilities, targets[part], weight, lse, z_loss).to(dtype)  # [block, V]
                torch.mm(d, w, out=gradient[part])
                head_gradient += d.T @ h[part]
        ctx.mark_non_differentiable(losses)
        ctx.dtypes = hidden.dtype, head.dtype
        ctx.gradients = gradient, head_gradient
        return total, losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor, d_losses: Tensor) -> tuple[Tensor | None, ...]:
        gradient, head_gradient = ctx.gradients
        if gradient is None:
            return None, None, None, None, None
        hidden_dtype, head_dtype = ctx.dtypes
        return (gradient * d_total).to(hidden_dtype), (head_gradient * d_total).to(head_dtype), None, None, None


def rows_in_block(vocab_size: int, cuda: bool) -> int:
    """Tokens whose fp32 logits fill a block."""
    return max(16, (CUDA_BLOCK_BYTES if cuda else BLOCK_BYTES) // (4 * vocab_size))


def _block_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """logits [N, V], targets [N] -> probabilities [N, V] in fp32, losses [N], log-partitions [N]."""
    logits = logits.float()
    peak = logits.amax(dim=1, keepdim=True)  # [N, 1]
    chosen = logits.gather(1, targets[:, None]) - peak  # [N, 1]
    probabilities = logits.sub_(peak).exp_()
    mass = probabilities.sum(dim=1, keepdim=True)  # [N, 1]
    log_mass = mass.log()
    return probabilities.div_(mass), (log_mass - chosen)[:, 0], (log_mass + peak)[:, 0]


def _logit_gradient(probabilities: Tensor, targets: Tensor, weights: Tensor, lse: Tensor, z_loss: float) -> Tensor:
    """d(total) / d(logits) [N, V]; overwrites the probabilities."""
    scale = weights if z_loss == 0 else weights * (1 + 2 * z_loss * lse)
    gradient = probabilities.mul_(scale[:, None])
    gradient.scatter_add_(1, targets[:, None], -weights[:, None])
    return gradient
