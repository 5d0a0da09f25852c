"""The decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU or sparse experts.

Shapes: B sequences, S tokens of a sequence, W hidden size, H query heads, G key and value heads, D width of a head,
F width inside the feed-forward, V padded vocabulary, E experts. `hugging_face.py` renames the weights for export.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.checkpoint import checkpoint

from trainer.model.attention import Mask, attend, attention_mask
from trainer.model.experts import Routing, SparseFeedForward, find_real_tokens, stack_routing
from trainer.model.key_value_cache import KeyValueCache
from trainer.model.loss import linear_cross_entropy
from trainer.model.model_settings import ModelSettings
from trainer.model.norm import RMSNorm
from trainer.model.parts import copied_weight, gather_sequence, local_weight, pad_sequences, take_part
from trainer.model.retro import ChunkedCrossAttention, ChunkPlan, EncodedNeighbors, plan_chunks, plan_token
from trainer.model.rotary import rotate, rotation
from trainer.model.token_log_probs import TokenLogProbs, token_log_probs


class ModelOutput(NamedTuple):
    """The result of a forward pass."""

    logits: Tensor | None  # [B, S, V]; None where targets were given
    loss: Tensor | None  # []: weighted sum over the tokens, in nats
    token_losses: Tensor | None  # fp32 [B, S], without a gradient
    routing: Routing | None  # of all sparse blocks
    chosen: TokenLogProbs | None = None  # of the targets [B, S] each, with a gradient
    values: Tensor | None = None  # fp32 [B, S]: the output of a scalar head


def for_products(x: Tensor) -> Tensor:
    """x in the type of matrix products: rounded and stored once for all matrices that read it."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


class Attention(nn.Module):
    """Grouped-query attention with rotary positions (Ainslie et al. 2023)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.head_dim = settings.dim_per_head
        queries, keys = settings.heads * self.head_dim, settings.num_kv_heads * self.head_dim
        self.q = nn.Linear(settings.hidden_size, queries, bias=False)
        self.k = nn.Linear(settings.hidden_size, keys, bias=False)
        self.v = nn.Linear(settings.hidden_size, keys, bias=False)
        self.out = nn.Linear(queries, settings.hidden_size, bias=False)

    def forward(
        self, x: Tensor, rotations: tuple[Tensor, Tensor], mask: Mask, cache: tuple[KeyValueCache, int] | None
    ) -> Tensor:
        """x [B, S, W] -> [B, S, W]; `rotations`: cosines and sines [B, 1, S, D]."""
        q, k, v = (part(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = rotate(q, *rotations), rotate(k, *rotations)  # [B, H, S, D], [B, G, S, D]
        if cache is not None:
            k, v = cache[0].extend(cache[1], k, v)
        attended = attend(q, k, v, mask)  # [B, H, S, D]
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, hidden_size: int, ffn_hidden_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, ffn_hidden_size, bias=False)
        self.up = nn.Linear(hidden_size, ffn_hidden_size, bias=False)
        self.down = nn.Linear(ffn_hidden_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, W] -> [B, S, W]."""
        result: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))  # within [B, S, F]
        return result


def build_feed_forward(settings: ModelSettings, index: int) -> FeedForward | SparseFeedForward:
    """The feed-forward of block `index` (from 0), dense or sparse."""
    if settings.experts is not None and settings.is_sparse(index):
        return SparseFeedForward(settings.hidden_size, settings.intermediate_size, settings.experts)
    return FeedForward(settings.hidden_size, settings.intermediate_size)


def run_feed_forward(
    module: FeedForward | SparseFeedForward, x: Tensor, real: Tensor | None
) -> tuple[Tensor, Routing | None]:
    """The result of a feed-forward, and the routing of a sparse one."""
    y = module(x, real) if isinstance(module, SparseFeedForward) else module(for_products(x))
    return y if isinstance(y, tuple) else (y, None)


class Block(nn.Module):
    """Attention, then the feed-forward, each on a normalized copy and added to the residual stream.

    Between them some blocks attend to retrieved neighbors.
    """

    def __init__(self, settings: ModelSettings, index: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.attention = Attention(settings)
        self.cross_norm: RMSNorm | None = None
        self.cross: ChunkedCrossAttention | None = None
        if settings.retro is not None and settings.retro.reads(index):
            heads = settings.heads, settings.num_kv_heads, settings.dim_per_head
            self.cross_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
            self.cross = ChunkedCrossAttention(settings.hidden_size, *heads, settings.rope)
        self.feed_forward_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        self.feed_forward = build_feed_forward(settings, index)

    def forward(
        self,
        x: Tensor,
        rotations: tuple[Tensor, Tensor],
        mask: Mask,
        real: Tensor | None = None,
        cache: tuple[KeyValueCache, int] | None = None,
        neighbors: tuple[EncodedNeighbors, ChunkPlan, int] | None = None,
    ) -> tuple[Tensor, Routing | None]:
        """x [B, S, W] -> the same shape, and the routing statistics of a sparse block; `real` as in experts.py."""
        x = x + self.attention(for_products(self.attention_norm(x)), rotations, mask, cache)
        if self.cross is not None and self.cross_norm is not None and neighbors is not None:
            x = x + self.cross(for_products(self.cross_norm(x)), *neighbors)
        change, routing = run_feed_forward(self.feed_forward, self.feed_forward_norm(x), real)
        return x + change, routing


class Decoder(nn.Module):
    """A decoder-only language model."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.activation_checkpointing = False  # recompute activations in the backward pass instead of keeping them
        self.tensor_mesh: DeviceMesh | None = None  # ranks that divide every matrix; each has a part of the sequences
        self.embedding = nn.Embedding(settings.padded_vocab_size, settings.hidden_size)
        self.blocks = nn.ModuleList(Block(settings, index) for index in range(settings.layers))
        self.norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        if settings.retro is not None:
            plain = settings.model_copy(update={"retro": None, "experts": None})
            layers = range(settings.retro.encoder_layers)
            self.neighbor_blocks = nn.ModuleList(Block(plain, index) for index in layers)
            self.neighbor_norm = RMSNorm(settings.hidden_size, settings.norm_eps)
        outputs = 1 if settings.scalar_head else settings.padded_vocab_size
        tied = settings.tie_embeddings and not settings.scalar_head
        self.head = None if tied else nn.Linear(settings.hidden_size, outputs, bias=False)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        prefix: Tensor | None = None,
        branches: Tensor | None = None,
        cache: KeyValueCache | None = None,
        log_probs: bool = False,
        neighbors: Tensor | None = None,
    ) -> ModelOutput:
        """Logits of every token, or with `targets` the weighted sum of the losses; a scalar head gives values instead.

        log_probs: with targets, their log-probabilities and the entropies with a gradient, instead of the sum; 0 where
        the weight is 0, so that prompts do not pay for the head.

        tokens, targets, positions int [B, S]; weights [B, S] (None: all 1); document_ids, prefix and branches as in
        `attention_mask`, ids below 0 on padding, which meets no expert. neighbors: int [B, U, K, R], the retrieved
        neighbors of each whole chunk of a model that reads them (see retro.py), below 0 on padding; none if left out.
        """
        encoded = None if neighbors is None else self.encode_neighbors(neighbors)
        states, routing = self.hidden_states(
            tokens,
            positions=positions,
            document_ids=document_ids,
            prefix=prefix,
            branches=branches,
            cache=cache,
            neighbors=encoded,
        )
        if self.settings.scalar_head:
            values = F.linear(states, copied_weight(self.head_weight))[..., 0].float()
            return ModelOutput(None, None, None, routing, values=values)
        if targets is not None and log_probs:
            return ModelOutput(None, None, None, routing, self._log_probs(states, targets, weights))
        if targets is None:
            return ModelOutput(F.linear(states, local_weight(self.head_weight)), None, None, routing)
        counted = torch.ones_like(targets) if weights is None else weights
        loss, losses = linear_cross_entropy(
            states.flatten(0, 1), self.head_weight, targets.flatten(), counted.flatten(), self.settings.z_loss
        )
        return ModelOutput(None, loss, losses.view(targets.shape), routing)

    def hidden_states(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        prefix: Tensor | None = None,
        branches: Tensor | None = None,
        cache: KeyValueCache | None = None,
        neighbors: EncodedNeighbors | None = None,
        places: Tensor | None = None,
    ) -> tuple[Tensor, Routing | None]:
        """The input of the head, [B, S, W], and the routing statistics of all sparse blocks.

        neighbors: of the sequence's chunks; for a single token behind a cache those of the last whole chunk, U = 1.
        places: int [B, S], the tokens' distance from the sequence's first one; as they stand if left out.
        """
        length = tokens.shape[1]
        if positions is None:
            seen = cache.length if cache else 0
            positions = torch.arange(seen, seen + length, device=tokens.device)[None]
        mesh = self.tensor_mesh
        if mesh is not None and length % mesh.size():
            document_ids = torch.zeros_like(tokens) if document_ids is None else document_ids
            document_ids = pad_sequences(document_ids, mesh, -1)
            tokens, positions = pad_sequences(tokens, mesh), pad_sequences(positions, mesh)
            branches = None if branches is None else pad_sequences(branches, mesh)
        rotations = rotation(positions, self.settings.rope, self.settings.dim_per_head)
        mask = cache.mask(document_ids, length, prefix) if cache else attention_mask(document_ids, prefix, branches)
        sparse = self.settings.experts is not None and document_ids is not None
        part = take_part(document_ids, mesh) if sparse and document_ids is not None else None
        real = None if part is None else find_real_tokens(part >= 0)
        reading = None if neighbors is None else self._plan_reading(neighbors, tokens, places, document_ids)
        x = self.embedding(tokens)  # [B, S, W]; within a tensor group a rank's part of S, up to the head
        routings = []
        for index, block in enumerate(self.blocks):
            x, routing = self._run_block(block, x, rotations, mask, real, (cache, index) if cache else None, reading)
            if routing is not None:
                routings.append(routing)
        if cache:
            cache.length += length
        states = gather_sequence(self.norm(x), mesh, summed=not self.settings.scalar_head)[:, :length]
        routing = stack_routing(routings) if routings else None
        if routing is not None and part is not None and mesh is not None and document_ids is not None:
            # The ranks' statistics are averaged later: each counts as much as its share of the real tokens.
            share = (part >= 0).sum() * mesh.size() / (document_ids >= 0).sum()
            routing = Routing(*(field * share for field in routing))
        return states, routing

    def _log_probs(self, states: Tensor, targets: Tensor, weights: Tensor | None) -> TokenLogProbs:
        """Those of the targets [B, S] whose weight is not 0, and 0 elsewhere."""
        if weights is None:
            found = token_log_probs(states.flatten(0, 1), self.head_weight, targets.flatten())
            return TokenLogProbs(*(part.view(targets.shape) for part in found))
        counted = weights != 0
        found = token_log_probs(states[counted], self.head_weight, targets[counted])
        zeros = torch.zeros(targets.shape, device=states.device)
        return TokenLogProbs(*(zeros.masked_scatter(counted, part) for part in found))

    def encode_neighbors(self, neighbors: Tensor) -> EncodedNeighbors:
        """int [B, U, K, R], below 0 on padding -> their states; each neighbor is read alone, in both directions."""
        if self.settings.retro is None:
            raise ValueError("the model reads no neighbors")
        rows = neighbors.flatten(0, 2)  # [B U K, R]
        real = rows >= 0
        itself = torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)  # no row without a key
        mask = real[:, None, None, :] | itself
        places = torch.arange(rows.shape[1], device=rows.device)[None]
        rotations = rotation(places, self.settings.rope, self.settings.dim_per_head)
        x = self.embedding(rows.clamp(min=0))
        for block in self.neighbor_blocks:
            x, _ = self._run_block(block, x, rotations, mask)
        shape = (*neighbors.shape[:2], -1)
        return EncodedNeighbors(for_products(self.neighbor_norm(x)).view(*shape, x.shape[-1]), real.view(shape))

    def _plan_reading(
        self, neighbors: EncodedNeighbors, tokens: Tensor, places: Tensor | None, document_ids: Tensor | None
    ) -> tuple[EncodedNeighbors, ChunkPlan, int]:
        if self.settings.retro is None:
            raise ValueError("the model reads no neighbors")
        size = self.settings.retro.chunk_tokens
        if places is None:
            places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        chunks = neighbors.states.shape[1]
        single = tokens.shape[1] == 1 and chunks == 1
        plan = plan_token(places, size) if single else plan_chunks(places, chunks, size, document_ids)
        return neighbors, plan, self.settings.retro.neighbor_tokens

    def _run_block(self, block: nn.Module, *inputs: Any) -> Any:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

    @property
    def head_weight(self) -> Tensor:
        """[V, W], or [1, W] of a scalar head."""
        return self.embedding.weight if self.head is None else self.head.weight
