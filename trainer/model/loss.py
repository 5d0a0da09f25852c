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

from trainer.model.parts import VocabularyPart, local_weight

BLOCK_BYTES = 16 << 20  # of fp32 logits on a CPU: about half of a server's last-level cache
CUDA_BLOCK_BYTES = 256 << 20  # enough rows to fill the matrix units


def linear_cross_entropy(
    hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, z_loss: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the losses [], and every token's loss [N] in nats, without a gradient.

    hidden [N, W], head [V, W], targets int [N], weights [N] (0 excludes a token).
    head may be a DTensor, divided by rows among ranks that have equal hidden states and targets; each rank's gradient
    of the hidden states is then that of its part of the vocabulary, and all ranks' sum is the whole.
    z_loss: weight of the squared log-partition, which is added to the sum and keeps logits near 0 (PaLM, Chowdhery et
    al. 2022, section 5, uses 1e-4); the losses of the tokens do not include it.
    """
    # ctx.needs_input_grad stays true under no_grad (torch 2.13), and gradients that nobody asks for cost 0.7 of a
    # forward pass: what is needed is decided here.
    learns = tuple(torch.is_grad_enabled() and tensor.requires_grad for tensor in (hidden, head))
    part = VocabularyPart.of(head)
    arguments = hidden, local_weight(head), targets, weights, z_loss, learns, part
    total, losses = _LinearCrossEntropy.apply(*arguments)  # type: ignore[no-untyped-call]
    return total, losses


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        weights: Tensor,
        z_loss: float,
        learns: tuple[bool, bool],
        vocabulary: VocabularyPart,
    ) -> tuple[Tensor, Tensor]:
        """learns: whether the hidden states and the head need a gradient."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        h, w = hidden.to(dtype), head.to(dtype)
        gradient = torch.empty_like(h) if learns[0] else None
        head_gradient = torch.zeros_like(head, dtype=torch.float32) if learns[1] else None
        losses = torch.empty(len(h), dtype=torch.float32, device=h.device)
        total = torch.zeros((), dtype=torch.float32, device=h.device)
        with torch.autocast(device, enabled=False):
            for block in range(0, len(h), rows_in_block(len(w), h.is_cuda)):
                part = slice(block, block + rows_in_block(len(w), h.is_cuda))
                probabilities, losses[part], lse = _block_loss(h[part] @ w.T, targets[part], vocabulary)
                weight = weights[part].float()
                total += (losses[part] * weight).sum() + z_loss * (lse.square() * weight).sum()
                if not any(learns):
                    continue
                d = _logit_gradient(probabilities, targets[part], weight, lse, z_loss, vocabulary)
                d = d.to(dtype)  # [block, V]
                if gradient is not None:
                    torch.mm(d, w, out=gradient[part])
                if head_gradient is not None:
                    head_gradient += d.T @ h[part]
        ctx.mark_non_differentiable(losses)
        ctx.dtypes = hidden.dtype, head.dtype
        ctx.gradients = gradient, head_gradient
        return total, losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor, d_losses: Tensor) -> tuple[Tensor | None, ...]:
        found = (
            None if gradient is None else (gradient * d_total).to(dtype)
            for gradient, dtype in zip(ctx.gradients, ctx.dtypes, strict=True)
        )
        return *found, None, None, None, None, None


def rows_in_block(vocab_size: int, cuda: bool) -> int:
    """Tokens whose fp32 logits fill a block."""
    return max(16, (CUDA_BLOCK_BYTES if cuda else BLOCK_BYTES) // (4 * vocab_size))


def _block_loss(logits: Tensor, targets: Tensor, vocabulary: VocabularyPart) -> tuple[Tensor, Tensor, Tensor]:
    """logits [N, V], targets [N] -> probabilities [N, V] in fp32, losses [N], log-partitions [N]."""
    logits = logits.float()
    peak = vocabulary.reduce(logits.amax(dim=1, keepdim=True), maximum=True)  # [N, 1]
    place, held = vocabulary.find(targets, logits.shape[1])
    chosen = logits.gather(1, place).sub_(peak).mul_(held)  # [N, 1]
    probabilities = logits.sub_(peak).exp_()
    sums = torch.stack([probabilities.sum(dim=1, keepdim=True), chosen])
    mass, chosen = vocabulary.reduce(sums)  # [N, 1] each
    log_mass = mass.log()
    return probabilities.div_(mass), (log_mass - chosen)[:, 0], (log_mass + peak)[:, 0]


def _logit_gradient(
    probabilities: Tensor, targets: Tensor, weights: Tensor, lse: Tensor, z_loss: float, vocabulary: VocabularyPart
) -> Tensor:
    """d(total) / d(logits) [N, V]; overwrites the probabilities."""
    scale = weights if z_loss == 0 else weights * (1 + 2 * z_loss * lse)
    gradient = probabilities.mul_(scale[:, None])
    place, held = vocabulary.find(targets, gradient.shape[1])
    gradient.scatter_add_(1, place, -weights[:, None] * held)
    return gradient
