"""Log-probability and entropy of every token, with a gradient, a block of tokens at a time.

`loss.py` returns a weighted sum, whose weights are known before. Losses over whole answers (DPO, PPO) know the gradient
of a token only after the forward pass, so the logits are computed again, block by block, in the backward pass: memory
does not grow with the vocabulary, for a fourth matrix product.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer.model.loss import rows_in_block
from trainer.model.parts import VocabularyPart, local_weight


class TokenLogProbs(NamedTuple):
    """Of N tokens, in nats."""

    log_probs: Tensor  # [N]: of the targets
    entropies: Tensor  # [N]: of the whole distributions


def token_log_probs(hidden: Tensor, head: Tensor, targets: Tensor) -> TokenLogProbs:
    """Both with a gradient. hidden [N, W], head [V, W], targets int [N]; results in fp32.

    head may be a DTensor, divided by rows as in `linear_cross_entropy`: all ranks have equal results, and each rank's
    gradient of the hidden states is that of its part of the vocabulary.
    """
    arguments = hidden, local_weight(head), targets, VocabularyPart.of(head)
    return TokenLogProbs(*_TokenLogProbs.apply(*arguments))  # type: ignore[no-untyped-call]


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, vocabulary: VocabularyPart
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        ctx.dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        h, w = hidden.to(ctx.dtype), head.to(ctx.dtype)
        found = torch.empty(2, len(h), dtype=torch.float32, device=h.device)
        chosen, entropies = found
        with torch.autocast(device, enabled=False):
            for part in _blocks(h, w):
                logs = vocabulary.log_softmax((h[part] @ w.T).float())  # [block, V]
                place, held = vocabulary.find(targets[part], len(w))
                chosen[part] = (logs.gather(1, place) * held)[:, 0]
                entropies[part] = -(logs.exp() * logs).sum(dim=1)
        vocabulary.reduce(found)
        ctx.vocabulary = vocabulary
        ctx.save_for_backward(hidden, head, targets, entropies)
        return chosen, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_chosen: Tensor, d_entropies: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, targets, entropies = ctx.saved_tensors
        h, w = hidden.to(ctx.dtype), head.to(ctx.dtype)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        head_gradient = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        with torch.autocast(hidden.device.type, enabled=False):
            for part in _blocks(h, w):
                logs = ctx.vocabulary.log_softmax((h[part] @ w.T).float())
                probabilities, entropy = logs.exp(), entropies[part, None]
                # d chosen / d logits = onehot - p;  d entropy / d logits = -p (log p + entropy)
                d = logs.add_(entropy).mul_(-d_entropies[part, None]).sub_(d_chosen[part, None]).mul_(probabilities)
                place, held = ctx.vocabulary.find(targets[part], len(w))
                d.scatter_add_(1, place, d_chosen[part, None] * held)
                d = d.to(ctx.dtype)
                if gradient is not None:
                    gradient[part] = (d @ w).to(gradient.dtype)
                if head_gradient is not None:
                    head_gradient += d.T @ h[part]
        return gradient, None if head_gradient is None else head_gradient.to(head.dtype), None, None


def _blocks(h: Tensor, w: Tensor) -> list[slice]:
    rows = rows_in_block(len(w), h.is_cuda)
    return [slice(begin, begin + rows) for begin in range(0, len(h), rows)]
