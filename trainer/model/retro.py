"""Chunked cross-attention to retrieved neighbors, after RETRO (Borgeaud et al. 2022, section 2).

The tokens of a sequence form chunks of C. The neighbors of chunk u are found by its tokens alone, so they may be read
from its last token on, whose prediction is the first token of chunk u + 1: the places (u + 1) C - 1 to (u + 2) C - 2
attend to the neighbors of chunk u, and the first C - 1 places to none. A neighbor is a chunk of the database with the
chunk that follows it, R = 2 C tokens, encoded in both directions by a few blocks of the decoder's kind.

Not as in the paper: the encoder does not attend to the sequence, and the distance between a token and a neighbor's
token enters by rotary positions (a token i places behind the end of its chunk stands at the neighbor's place C + i).

Shapes: B sequences, S tokens, U chunks, C tokens of a chunk, K neighbors of a chunk, M = K R, W hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.model.attention import attend
from trainer.model.rotary import RopeSettings, rotate, rotation
from trainer.settings import Settings


class RetroSettings(Settings):
    """Which blocks read neighbors, and how many. Source of the defaults: RETRO has chunks of 64 and 2 neighbors."""

    chunk_tokens: int = Field(default=64, ge=2, description="tokens of a chunk; equal to the database's")
    neighbors: int = Field(default=2, ge=1, description="neighbors of each chunk")
    first: int = Field(default=2, ge=1, description="number of the first block that reads neighbors, from 1")
    every: int = Field(default=3, ge=1, description="blocks from one that reads neighbors to the next")
    encoder_layers: int = Field(default=2, ge=1, description="blocks of the neighbors' encoder")

    @property
    def neighbor_tokens(self) -> int:
        """R, tokens of a neighbor and its continuation."""
        return 2 * self.chunk_tokens

    def reads(self, block: int) -> bool:
        """Whether a block (from 0) reads neighbors."""
        return block + 1 >= self.first and (block + 1 - self.first) % self.every == 0


class EncodedNeighbors(NamedTuple):
    """The neighbors of all chunks, encoded."""

    states: Tensor  # [B, U, M, W]
    real: Tensor  # bool [B, U, M], false on padding

    def keep(self, rows: Tensor) -> EncodedNeighbors:
        """Those of some sequences, int [R]."""
        return EncodedNeighbors(self.states[rows], self.real[rows])


class ChunkPlan(NamedTuple):
    """Which tokens attend to the neighbors of which chunk. A slot is a place for one of them; L slots a chunk."""

    tokens: Tensor  # int64 [B, U L]: the token in each slot; 0 in an empty one, whose result nobody reads
    slots: Tensor  # int64 [B, S]: the slot of each token
    attends: Tensor  # bool [B, S], false for tokens without a slot
    positions: Tensor  # int64 [1 or B, L]: rotary positions in the frame of a neighbor


def plan_chunks(places: Tensor, chunks: int, size: int, document_ids: Tensor | None = None) -> ChunkPlan:
    """The plan of whole sequences.

    places: int [B, S], distance from the sequence's first token, below 0 on padding before it. document_ids int [B, S]:
    a token attends only if it belongs to the document of its chunk's last token.
    """
    group = (places + 1) // size - 1
    attends = (group >= 0) & (group < chunks)
    empty = chunks * size
    slots = torch.where(attends, group * size + (places + 1) % size, empty)
    order = torch.arange(places.shape[1], device=places.device).expand_as(slots)
    tokens = torch.zeros(len(places), empty + 1, dtype=torch.long, device=places.device).scatter(1, slots, order)
    slots = slots.clamp(max=empty - 1)
    if document_ids is not None:
        last = tokens.gather(1, group.clamp(0, chunks - 1) * size)  # the chunk's last token has its first slot
        attends = attends & (document_ids == document_ids.gather(1, last))
    positions = size + torch.arange(size, device=places.device)[None]
    return ChunkPlan(tokens[:, :empty], slots, attends, positions)


def plan_token(places: Tensor, size: int) -> ChunkPlan:
    """The plan of one more token in every row, int [B, 1]: the neighbors are those of its own chunk, U = L = 1."""
    zeros = torch.zeros_like(places)
    return ChunkPlan(zeros, zeros, places + 1 >= size, size + (places + 1) % size)


class ChunkedCrossAttention(nn.Module):
    """Attention of tokens to the neighbors of the chunk before them."""

    def __init__(self, hidden_size: int, heads: int, kv_heads: int, head_dim: int, rope: RopeSettings) -> None:
        super().__init__()
        self.head_dim, self.rope = head_dim, rope
        self.q = nn.Linear(hidden_size, heads * head_dim, bias=False)
        self.k = nn.Linear(hidden_size, kv_heads * head_dim, bias=False)
        self.v = nn.Linear(hidden_size, kv_heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, hidden_size, bias=False)

    def forward(self, x: Tensor, neighbors: EncodedNeighbors, plan: ChunkPlan, neighbor_tokens: int) -> Tensor:
        """x [B, S, W] -> [B, S, W]; 0 for tokens that attend to nothing."""
        states, real = neighbors.states.flatten(0, 1), neighbors.real.flatten(0, 1)  # [B U, M, W], [B U, M]
        width, slots = x.shape[-1], plan.positions.shape[1]
        asking = x.gather(1, plan.tokens[..., None].expand(-1, -1, width)).view(len(states), slots, width)
        q, k, v = (
            part(given).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part, given in ((self.q, asking), (self.k, states), (self.v, states))
        )
        places = torch.arange(neighbor_tokens, device=x.device).repeat(real.shape[1] // neighbor_tokens)[None]
        q = rotate(q, *rotation(plan.positions, self.rope, self.head_dim))
        k = rotate(k, *rotation(places, self.rope, self.head_dim))
        some = real.any(dim=1)
        mask = (real | ~some[:, None])[:, None, None, :].expand(-1, 1, slots, -1)  # no row without a key
        attended = attend(q, k, v, mask) * some[:, None, None, None]  # [B U, H, L, D]
        y: Tensor = self.out(attended.transpose(1, 2).flatten(2)).view(len(x), -1, width)  # [B, U L, W]
        return y.gather(1, plan.slots[..., None].expand(-1, -1, width)) * plan.attends[..., None]
