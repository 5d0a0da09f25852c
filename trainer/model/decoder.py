"""The dense decoder: RMSNorm, RoPE, SwiGLU, grouped-query attention, embeddings tied or not; sparse experts by option.

Shapes: B rows, S tokens of a row, W width, H query heads, G key and value heads, D head width, F hidden width of the
feed-forward, V vocabulary, E experts. Names of weights are ours; `export.py` writes Hugging Face's.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trainer.model.attention import Mask, attend, attention_mask, dense_mask
from trainer.model.experts import ExpertSettings, Routing, SparseFeedForward, stack_routing
from trainer.model.loss import linear_cross_entropy
from trainer.model.norm import RMSNorm
from trainer.model.rotary import RopeSettings, rotate, rotation
from trainer.settings import Settings
from trainer.training.distributed import fill


class ModelSettings(Settings):
    """A decoder's shape. The defaults are the tiny model of the demo."""

    vocab_size: int = Field(default=8192, ge=2)  # rounded up to a multiple of 64, matrix units like it so
    hidden_size: int = Field(default=256, ge=2)
    layers: int = Field(default=6, ge=1)
    encoder_layers: int = Field(default=0, ge=0)  # 0: a decoder; else an encoder-decoder after T5, without RoPE
    heads: int = Field(default=4, ge=1)
    kv_heads: int | None = Field(default=None, ge=1)  # None: as many as heads (multi-head attention)
    head_dim: int | None = Field(default=None, ge=2)  # None: width / heads
    ffn_hidden_size: int | None = Field(
        default=None, ge=1
    )  # None: 8/3 of the width, in 64s (Shazeer 2020: equal to 4 x GELU)
    context_length: int = Field(default=512, ge=1)  # tokens
    tie_embeddings: bool = (
        True  # one matrix for the embedding and the head: right while it is a large part of the weights
    )
    norm_eps: float = Field(default=1e-5, gt=0)
    init_std: float = Field(default=0.02, gt=0)  # of the initial weights (GPT-2); over sqrt(2 layers) into the residual
    z_loss: float = Field(default=0.0, ge=0)  # PaLM 1e-4
    rope: RopeSettings = RopeSettings()
    experts: ExpertSettings | None = None

    @model_validator(mode="after")
    def _possible(self) -> ModelSettings:
        if self.head_dim is None and self.hidden_size % self.heads:
            raise ValueError(f"model.hidden_size = {self.hidden_size} is no multiple of model.heads = {self.heads}")
        if self.heads % self.num_kv_heads:
            raise ValueError(f"model.heads = {self.heads} is no multiple of model.kv_heads = {self.num_kv_heads}")
        if self.dim_per_head % 2:
            raise ValueError(f"the head width is {self.dim_per_head}; RoPE turns pairs, so it must be even")
        if self.encoder_layers and (self.num_kv_heads != self.heads or self.rope != RopeSettings()):
            raise ValueError("an encoder-decoder (model.encoder_layers) has neither kv_heads nor rope to set")
        if self.experts and self.experts.top_k > self.experts.num_experts:
            raise ValueError("model.experts.top_k is larger than the number of experts")
        if self.experts and self.experts.every > self.layers:
            raise ValueError(f"model.experts.every = {self.experts.every} leaves no sparse block among {self.layers}")
        return self

    @property
    def num_kv_heads(self) -> int:
        """G, key and value heads."""
        return self.kv_heads or self.heads

    @property
    def dim_per_head(self) -> int:
        """D, width of a head."""
        return self.head_dim or self.hidden_size // self.heads

    @property
    def intermediate_size(self) -> int:
        """F, hidden width of the feed-forward."""
        return self.ffn_hidden_size or 64 * -(-8 * self.hidden_size // (3 * 64))

    @property
    def padded_vocab_size(self) -> int:
        """V, rows of the embedding: the vocabulary rounded up."""
        return 64 * -(-self.vocab_size // 64)

    def sparse(self, block: int) -> bool:
        """Whether a block (from 0) has experts."""
        return self.experts is not None and (block + 1) % self.experts.every == 0

    def parameters(self, active: bool = False) -> int:
        """Weights, embeddings included; with `active` those that one token meets (its top-k experts only)."""
        attention = self.hidden_size * self.dim_per_head * (2 * self.heads + 2 * self.num_kv_heads)
        total = (1 if self.tie_embeddings else 2) * self.padded_vocab_size * self.hidden_size + self.hidden_size
        total += self._feed_forwards(self.layers, active) + self.layers * (attention + 2 * self.hidden_size)
        if self.encoder_layers:  # its blocks and last norm, cross-attention in the decoder, 32 biases a head and stack
            total += self._feed_forwards(self.encoder_layers, active) + self.encoder_layers * (
                attention + 2 * self.hidden_size
            )
            total += self.hidden_size + self.layers * (attention + self.hidden_size) + 2 * 32 * self.heads
        return total

    def _feed_forwards(self, blocks: int, active: bool) -> int:
        dense = 3 * self.hidden_size * self.intermediate_size
        sparse = dense
        if self.experts is not None:
            met = self.experts.top_k if active else self.experts.num_experts
            sparse = met * dense + self.experts.num_experts * self.hidden_size
        return sum(sparse if self.sparse(block) else dense for block in range(blocks))

    def flops_per_token(self, sequence_length: int) -> float:
        """FLOP of training a token in sequences of `sequence_length`, forward and backward.

        6 for each weight in a matrix product (the head counts, the embedding's look-up does not; Kaplan et al. 2020),
        and 6 D H for each of the (sequence_length + 1) / 2 tokens that a causal query meets on average, for the scores
        and again for the mixing (Chowdhery et al. 2022, appendix B, without the half that the causal mask saves). Of an
        encoder-decoder a token passes one stack: half the weights (Raffel et al. 2020, section 3.2.2).
        """
        looked_up = 0 if self.tie_embeddings else self.padded_vocab_size * self.hidden_size
        if self.encoder_layers:
            return 3.0 * (self.parameters(active=True) - looked_up)
        attention = 6 * self.layers * self.heads * self.dim_per_head * (sequence_length + 1)
        return 6.0 * (self.parameters(active=True) - looked_up) + attention


class Output(NamedTuple):
    """What a forward pass answers."""

    logits: Tensor | None  # [B, S, V]; None where targets were given
    loss: Tensor | None  # []: weighted sum over the tokens, in nats
    token_losses: Tensor | None  # fp32 [B, S], without a gradient
    routing: Routing | None  # of all sparse blocks


class Cache:
    """Keys and values of the tokens seen so far, for generation: [layers, B, G, capacity, D] each."""

    def __init__(self, settings: ModelSettings, rows: int, capacity: int, like: Tensor) -> None:
        shape = (settings.layers, rows, settings.num_kv_heads, capacity, settings.dim_per_head)
        self.keys = like.new_zeros(shape)
        self.values = like.new_zeros(shape)
        self.document_ids = torch.zeros((rows, capacity), dtype=torch.int32, device=like.device)
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append k and v [B, G, S, D] of a layer; all keys and values so far."""
        end = self.length + k.shape[2]
        if end > self.keys.shape[3]:
            raise ValueError(f"the cache holds {self.keys.shape[3]} tokens and {end} are needed")
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def mask(self, document_ids: Tensor | None, new: int, prefix: Tensor | None = None) -> Mask:
        """The mask of `new` more tokens; document ids int [B, new] are remembered beside the keys. prefix: int [B]."""
        end = self.length + new
        if document_ids is not None:
            self.document_ids[:, self.length : end] = document_ids
        if new == end and document_ids is None and prefix is None:
            return None
        return dense_mask(self.document_ids[:, self.length : end], self.document_ids[:, :end], prefix)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions (Ainslie et al. 2023)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = settings.heads, settings.num_kv_heads, settings.dim_per_head
        self.qkv = nn.Linear(settings.hidden_size, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=False)
        self.out = nn.Linear(self.heads * self.head_dim, settings.hidden_size, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Mask, cache: tuple[Cache, int] | None) -> Tensor:
        """x [B, S, W] -> [B, S, W]; `turn` holds cosines and sines [B, 1, S, D]."""
        mixed = self.qkv(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [B, H + 2G, S, D]
        turned, v = torch.split(mixed, [self.heads + self.kv_heads, self.kv_heads], dim=1)
        cosines, sines = (table.to(v.dtype) for table in turn)
        q, k = torch.split(rotate(turned, cosines, sines), [self.heads, self.kv_heads], dim=1)
        if cache is not None:
            k, v = cache[0].extend(cache[1], k, v)
        attended = attend(q, k, v, mask)  # [B, H, S, D]
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, hidden_size: int, ffn_hidden_size: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(hidden_size, 2 * ffn_hidden_size, bias=False)
        self.down = nn.Linear(ffn_hidden_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, W] -> [B, S, W]."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)  # [B, S, F] each
        result: Tensor = self.down(F.silu(gate) * up)
        return result


def feed_forward_of(settings: ModelSettings, index: int) -> FeedForward | SparseFeedForward:
    """What block `index` (from 0) has after its attention."""
    if settings.experts is not None and settings.sparse(index):
        return SparseFeedForward(settings.hidden_size, settings.intermediate_size, settings.experts)
    return FeedForward(settings.hidden_size, settings.intermediate_size)


class Block(nn.Module):
    """Attention, then the feed-forward, each on a normalized copy and added to the residual stream."""

    def __init__(self, settings: ModelSettings, index: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.attention = Attention(settings)
        self.feed_forward_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.feed_forward = feed_forward_of(settings, index)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Mask, cache: tuple[Cache, int] | None = None
    ) -> tuple[Tensor, Routing | None]:
        """x [B, S, W] -> the same, and what the router did in a sparse block."""
        x = x + self.attention(self.attention_norm(x), turn, mask, cache)
        y = self.feed_forward(self.feed_forward_norm(x))
        change, routing = y if isinstance(y, tuple) else (y, None)
        return x + change, routing


class Decoder(nn.Module):
    """The language model."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.activation_checkpointing = False  # activation checkpointing: blocks run again in the backward pass
        self.embedding = nn.Embedding(settings.padded_vocab_size, settings.hidden_size)
        self.blocks = nn.ModuleList(Block(settings, index) for index in range(settings.layers))
        self.norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.head = (
            None if settings.tie_embeddings else nn.Linear(settings.hidden_size, settings.padded_vocab_size, bias=False)
        )

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        prefix: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Output:
        """Logits of every token, or with `targets` the weighted sum of the losses.

        tokens, targets, positions int [B, S]; weights [B, S] (None: all 1); document_ids and prefix as in `masks`.
        """
        states, routing = self.hidden_states(
            tokens, positions=positions, document_ids=document_ids, prefix=prefix, cache=cache
        )
        if targets is None:
            return Output(F.linear(states, self.head_weight), None, None, routing)
        counted = torch.ones_like(targets) if weights is None else weights
        loss, losses = linear_cross_entropy(
            states.flatten(0, 1), self.head_weight, targets.flatten(), counted.flatten(), self.settings.z_loss
        )
        return Output(None, loss, losses.view(targets.shape), routing)

    def hidden_states(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        prefix: Tensor | None = None,
        cache: Cache | None = None,
    ) -> tuple[Tensor, Routing | None]:
        """The states that the head reads, [B, S, W], and what the routers did."""
        length = tokens.shape[1]
        if positions is None:
            seen = cache.length if cache else 0
            positions = torch.arange(seen, seen + length, device=tokens.device)[None]
        turn = rotation(positions, self.settings.rope, self.settings.dim_per_head)
        mask = cache.mask(document_ids, length, prefix) if cache else attention_mask(document_ids, prefix)
        x = self.embedding(tokens)  # [B, S, W]
        routings = []
        for index, block in enumerate(self.blocks):
            x, routing = self._run(block, x, turn, mask, (cache, index) if cache else None)
            if routing is not None:
                routings.append(routing)
        if cache:
            cache.length += length
        return self.norm(x), stack_routing(routings) if routings else None

    def _run(self, block: nn.Module, *inputs: Any) -> Any:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

    @property
    def head_weight(self) -> Tensor:
        """[V, W]."""
        return self.embedding.weight if self.head is None else self.head.weight


@torch.no_grad()
def initialize(model: nn.Module, seed: int, init_std: float = 0.02, layers: int = 1) -> None:
    """Fill every weight as a function of (seed, its name): the same on any device, in any order, in any sharding.

    Matrices get a normal deviation; those that write to the residual stream (`out`, `down`) get it over sqrt(2 layers),
    which keeps the stream's variance through depth (GPT-2, Radford et al. 2019). Norms start at 1.
    """
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            fill(weight, torch.ones(weight.shape))
            continue
        number = int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest(), "big")
        into_residual = any(part in ("out", "down") for part in name.split("."))
        scale = init_std / (2 * layers) ** 0.5 if into_residual else init_std
        values = torch.empty(weight.shape).normal_(0, scale, generator=torch.Generator().manual_seed(number))
        fill(weight, values)


def build_decoder(settings: ModelSettings, seed: int = 0) -> Decoder:
    """A decoder with fresh weights, a function of (settings, seed)."""
    model = Decoder(settings)
    initialize(model, seed, settings.init_std, settings.layers)
    return model
