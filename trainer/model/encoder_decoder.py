"""Encoder-decoder after T5 1.1 (Raffel et al. 2020): relative position biases and cross-attention.

RMSNorm, SwiGLU (T5 1.1 uses gated GELU), sparse experts (as in Switch) and the settings are shared with the decoder.
Shapes: B sequences, I tokens of the source, O of the target, W hidden size, H heads, D width of a head.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainer.model.decoder import ModelOutput, build_feed_forward, run_feed_forward
from trainer.model.experts import Routing, find_real_tokens, stack_routing
from trainer.model.loss import linear_cross_entropy
from trainer.model.model_settings import ModelSettings
from trainer.model.norm import RMSNorm

BUCKETS = 32  # number of buckets of relative distances
MAX_DISTANCE = 128  # tokens; all larger distances share a bucket


def relative_buckets(queries: int, keys: int, both_ways: bool, device: torch.device | None = None) -> Tensor:
    """int64 [queries, keys]: one bucket for each short distance, buckets in logarithmic steps for longer ones (T5)."""
    distance = torch.arange(keys, device=device)[None, :] - torch.arange(queries, device=device)[:, None]
    number = BUCKETS
    offset: Tensor | int = 0
    if both_ways:  # half of the buckets for keys after the query, half for keys before it
        number //= 2
        offset = (distance > 0).long() * number
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = number // 2
    steps = (distance.clamp(min=1).float() / exact).log() / math.log(MAX_DISTANCE / exact) * (number - exact)
    far = (exact + steps.long()).clamp(max=number - 1)
    return offset + torch.where(distance < exact, distance, far)


class PositionBias(nn.Module):
    """A learned number for each head and bucket, added to the scores; shared by all blocks of a stack."""

    def __init__(self, heads: int, both_ways: bool) -> None:
        super().__init__()
        self.both_ways = both_ways
        self.weight = nn.Parameter(torch.empty(BUCKETS, heads))

    def forward(self, allowed: Tensor) -> Tensor:
        """Where attention is allowed, bool [B, 1, Q, K] -> bias of the scores, fp32 [B, H, Q, K]."""
        places = relative_buckets(allowed.shape[2], allowed.shape[3], self.both_ways, allowed.device)
        bias = F.embedding(places, self.weight).permute(2, 0, 1)[None]  # [1, H, Q, K]
        return bias.masked_fill(~allowed, torch.finfo(bias.dtype).min)


class BiasedAttention(nn.Module):
    """Attention whose keys and values come from `source`: the same states, or the encoder's."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.head_dim = settings.dim_per_head
        inner = settings.heads * settings.dim_per_head
        self.q = nn.Linear(settings.hidden_size, inner, bias=False)
        self.kv = nn.Linear(settings.hidden_size, 2 * inner, bias=False)
        self.out = nn.Linear(inner, settings.hidden_size, bias=False)

    def forward(self, x: Tensor, source: Tensor, bias: Tensor) -> Tensor:
        """x [B, Q, W], source [B, K, W], bias [B, H or 1, Q, K] -> [B, Q, W]."""
        q = self.q(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [B, H, Q, D]
        k, v = self.kv(source).unflatten(-1, (-1, self.head_dim)).transpose(1, 2).chunk(2, dim=1)  # [B, H, K, D] each
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        result: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return result


class StackBlock(nn.Module):
    """Self-attention, in the decoder also cross-attention, and the feed-forward."""

    def __init__(self, settings: ModelSettings, index: int, crosses: bool) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.attention = BiasedAttention(settings)
        self.cross_norm = RMSNorm(settings.hidden_size, settings.norm_eps) if crosses else None
        self.cross = BiasedAttention(settings) if crosses else None
        self.feed_forward_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.feed_forward = build_feed_forward(settings, index)

    def forward(
        self,
        x: Tensor,
        bias: Tensor,
        real: Tensor | None = None,
        source: Tensor | None = None,
        source_bias: Tensor | None = None,
    ) -> tuple[Tensor, Routing | None]:
        """x [B, S, W] with its bias [B, H, S, S]; source [B, I, W] with [B, 1, S, I] -> [B, S, W], and the routing.

        real: the places of tokens that are no padding, as in experts.py.
        """
        y = self.attention_norm(x)
        x = x + self.attention(y, y, bias)
        if self.cross is not None and self.cross_norm is not None and source is not None and source_bias is not None:
            x = x + self.cross(self.cross_norm(x), source, source_bias)
        change, routing = run_feed_forward(self.feed_forward, self.feed_forward_norm(x), real)
        return x + change, routing


class EncoderDecoder(nn.Module):
    """A sequence-to-sequence model; its loss is that of the decoder's tokens."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.activation_checkpointing = False  # recompute activations in the backward pass instead of keeping them
        self.embedding = nn.Embedding(settings.padded_vocab_size, settings.hidden_size)
        self.encoder_bias = PositionBias(settings.heads, both_ways=True)
        self.encoder_blocks = nn.ModuleList(StackBlock(settings, i, False) for i in range(settings.encoder_layers))
        self.encoder_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.bias = PositionBias(settings.heads, both_ways=False)
        self.blocks = nn.ModuleList(StackBlock(settings, i, True) for i in range(settings.layers))
        self.norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.head = (
            None if settings.tie_embeddings else nn.Linear(settings.hidden_size, settings.padded_vocab_size, bias=False)
        )

    def forward(
        self,
        source: Tensor,
        tokens: Tensor,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        source_ids: Tensor | None = None,
        token_ids: Tensor | None = None,
    ) -> ModelOutput:
        """source, source_ids int [B, I]; tokens, targets, token_ids int [B, O]; weights [B, O]; ids < 0 on padding."""
        real = torch.ones_like(source, dtype=torch.bool) if source_ids is None else source_ids >= 0  # [B, I]
        states, encoder_routings = self.encode(source, real)
        x, decoder_routings = self.decode(tokens, states, real, None if token_ids is None else token_ids >= 0)
        routing = (
            stack_routing([*encoder_routings, *decoder_routings]) if encoder_routings or decoder_routings else None
        )
        if targets is None:
            return ModelOutput(F.linear(x, self.head_weight), None, None, routing)
        counted = torch.ones_like(targets) if weights is None else weights
        loss, losses = linear_cross_entropy(
            x.flatten(0, 1), self.head_weight, targets.flatten(), counted.flatten(), self.settings.z_loss
        )
        return ModelOutput(None, loss, losses.view(targets.shape), routing)

    def encode(self, source: Tensor, real: Tensor) -> tuple[Tensor, list[Routing]]:
        """source int [B, I], real bool [B, I], false on padding -> states [B, I, W]."""
        allowed = real[:, None, None, :].expand(-1, 1, source.shape[1], -1)  # [B, 1, I, I]
        bias, places = self.encoder_bias(allowed), self._find_real_tokens(real)
        x, routings = self._stack(self.encoder_blocks, self.embedding(source), bias, places)
        return self.encoder_norm(x), routings

    def decode(
        self, tokens: Tensor, states: Tensor, real: Tensor, real_tokens: Tensor | None = None
    ) -> tuple[Tensor, list[Routing]]:
        """tokens int [B, O] and the encoder's states [B, I, W] -> the inputs of the head, [B, O, W].

        real_tokens: bool [B, O], false on padding; None means that there is none.
        """
        length = tokens.shape[1]
        causal = torch.ones(1, 1, length, length, dtype=torch.bool, device=tokens.device).tril()
        seen = self._additive(real[:, None, None, :].expand(-1, 1, length, -1))
        places = self._find_real_tokens(real_tokens)
        x, routings = self._stack(self.blocks, self.embedding(tokens), self.bias(causal), places, states, seen)
        return self.norm(x), routings

    def _find_real_tokens(self, real: Tensor | None) -> Tensor | None:
        return find_real_tokens(real) if self.settings.experts is not None else None

    def _stack(self, blocks: nn.ModuleList, x: Tensor, *context: Any) -> tuple[Tensor, list[Routing]]:
        routings = []
        for block in blocks:
            recompute = self.activation_checkpointing and torch.is_grad_enabled()
            x, routing = checkpoint(block, x, *context, use_reentrant=False) if recompute else block(x, *context)
            if routing is not None:
                routings.append(routing)
        return x, routings

    @staticmethod
    def _additive(allowed: Tensor) -> Tensor:
        """bool -> 0 where allowed, the lowest number elsewhere."""
        return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, torch.finfo(torch.float32).min)

    @property
    def head_weight(self) -> Tensor:
        """[V, W]."""
        return self.embedding.weight if self.head is None else self.head.weight
