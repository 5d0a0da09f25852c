"""Sparse feed-forward: a router sends each token to its top-k experts (Switch, Fedus et al. 2021; ST-MoE, Zoph 2022).

Tokens are sorted by expert, each expert multiplies one dense slice, and results return to their places: no [tokens,
experts, capacity] mask is built. There are no scattered additions, so results do not depend on the number of threads,
and sparse models resume bitwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from trainer.model.parts import exchange_counts, exchange_rows, local_weight
from trainer.settings import Settings


class ExpertSettings(Settings):
    """Which blocks are sparse, and how tokens are routed to experts.

    Sources: top_k and capacity factor of ST-MoE (section 4.1; it has 2.0 for evaluation, here there is no limit, so
    that a result does not depend on the rest of the batch); every second block as in Switch (ST-MoE 4, Mixtral 1);
    load-balancing loss of Switch, section 2.2; router z-loss of ST-MoE, section 3.3; dropout of Switch, table 4 (0.4).
    """

    num_experts: int = Field(default=8, ge=1, description="number of experts in a sparse block")
    top_k: int = Field(default=2, ge=1, description="number of experts that each token is sent to")
    every: int = Field(default=2, ge=1, description="sparse blocks: every n-th one, the others are dense")
    capacity_factor: float | None = Field(
        default=1.25,
        gt=0,
        description="most tokens of an expert in training, over its even share of them; no token is dropped if unset",
    )
    evaluation_capacity_factor: float | None = Field(
        default=None,
        gt=0,
        description="most tokens of an expert in evaluation, over its even share; no token is dropped if unset",
    )
    router_aux_loss_coef: float = Field(default=0.01, ge=0, description="weight of the load-balancing loss")
    router_z_loss_coef: float = Field(default=0.001, ge=0, description="weight of the router's z-loss")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="dropout rate inside the experts, 0 to 1; for fine-tuning"
    )
    normalize_gates: bool | None = Field(
        default=None, description="scale a token's gates to a sum of 1 (GShard, Mixtral); only with top_k > 1 if unset"
    )

    @property
    def normalized(self) -> bool:
        """Whether gates add up to 1. With top_k = 1 they would be constant, and the router would learn nothing."""
        return self.top_k > 1 if self.normalize_gates is None else self.normalize_gates


class Routing(NamedTuple):
    """Statistics of the router: of one block, or of all sparse blocks with a leading dimension [blocks]."""

    balance: Tensor  # []: load-balancing loss; 1.0 if all experts have equal load and probability
    z: Tensor  # []: mean squared log-partition of the router
    load: Tensor  # [experts]: share of the assignments to each expert, before the capacity limit
    dropped: Tensor  # []: share of the assignments over capacity

    def loss(self, settings: ExpertSettings) -> Tensor:
        """The auxiliary loss, summed over blocks as in Switch and ST-MoE."""
        return settings.router_aux_loss_coef * self.balance.sum() + settings.router_z_loss_coef * self.z.sum()


def stack_routing(blocks: Iterable[Routing]) -> Routing:
    """One Routing of all sparse blocks, each field with a leading dimension."""
    return Routing(*(torch.stack(field) for field in zip(*blocks, strict=True)))


class Choice(NamedTuple):
    """The router's decisions for N tokens."""

    experts: Tensor  # int64 [N, k], the best first
    gates: Tensor  # fp32 [N, k]
    routing: Routing


class Router(nn.Module):
    """A linear map to one logit per expert, in fp32 throughout (Switch, section 2.4: bf16 routers diverge)."""

    def __init__(self, hidden_size: int, settings: ExpertSettings) -> None:
        super().__init__()
        self.settings = settings
        self.weight = nn.Parameter(torch.empty(settings.num_experts, hidden_size))

    def forward(self, x: Tensor) -> Choice:
        """x [N, W] -> choices [N, k]."""
        with torch.autocast(x.device.type, enabled=False):
            return choose_experts(x.float() @ local_weight(self.weight).float().T, self.settings)


def choose_experts(logits: Tensor, settings: ExpertSettings) -> Choice:
    """Router logits fp32 [N, E] -> choices, and the auxiliary losses of the router."""
    probabilities = logits.softmax(dim=-1)  # [N, E]
    gates, experts = probabilities.topk(settings.top_k, dim=-1)  # [N, k]
    if settings.normalized:
        gates = gates / gates.sum(dim=-1, keepdim=True)
    tokens = max(len(logits), 1)  # a rank's part of the sequences may be all padding
    load = torch.bincount(experts.flatten(), minlength=settings.num_experts) / (tokens * settings.top_k)  # [E]
    balance = settings.num_experts * (load * probabilities.sum(dim=0) / tokens).sum()
    z = logits.logsumexp(dim=-1).square().sum() / tokens
    return Choice(experts, gates, Routing(balance, z, load, torch.zeros_like(balance)))


def find_real_tokens(real: Tensor | None) -> Tensor | None:
    """bool [B, S], false on padding -> the places of the real tokens, int64 [N]; None where all are real."""
    return None if real is None or bool(real.all()) else real.flatten().nonzero().flatten()


class Dispatch(NamedTuple):
    """Assignments in expert order. An assignment is one (choice, token) pair, numbered choice * N + token."""

    assignments: Tensor  # int64 [A], those within capacity
    counts: Tensor  # int64 [E], assignments of each expert


def dispatch(experts: Tensor, number: int, capacity: int | None) -> Dispatch:
    """Sort assignments [N, k] by expert. Over capacity, second choices are dropped first, and later tokens first."""
    chosen = experts.T.flatten()  # [k * N]: all first choices, then all second ones
    order = chosen.argsort(stable=True)
    counts = torch.bincount(chosen, minlength=number)
    if capacity is None:
        return Dispatch(order, counts)
    place = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[chosen[order]]
    return Dispatch(order[place < capacity], counts.clamp(max=capacity))


def expert_capacity(tokens: int, settings: ExpertSettings, training: bool) -> int | None:
    """The most tokens that each expert takes of a batch of `tokens` tokens; None: no limit."""
    factor = settings.capacity_factor if training else settings.evaluation_capacity_factor
    return None if factor is None else math.ceil(factor * tokens * settings.top_k / settings.num_experts)


class SparseFeedForward(nn.Module):
    """SwiGLU experts behind a router; replaces the dense feed-forward of a block."""

    def __init__(self, hidden_size: int, ffn_hidden_size: int, settings: ExpertSettings) -> None:
        super().__init__()
        self.settings = settings
        self.group: ProcessGroup | None = None  # ranks that divide the experts; None if all are held here
        self.router = Router(hidden_size, settings)
        self.gate_up = nn.Parameter(torch.empty(settings.num_experts, hidden_size, 2 * ffn_hidden_size))
        self.down = nn.Parameter(torch.empty(settings.num_experts, ffn_hidden_size, hidden_size))

    def forward(self, x: Tensor, real: Tensor | None = None) -> tuple[Tensor, Routing]:
        """x [B, S, W] -> the same shape, and routing statistics. The result of a token over capacity is 0.

        real: int64 [N], the places of the tokens in B * S that are no padding; None means all. Padding meets neither
        router nor experts, so it takes no capacity and is not in the statistics; its result is 0.
        """
        tokens = x.flatten(0, 1)  # [B * S, W]
        if real is None:
            mixed, routing = self._mix(tokens)
        else:
            found, routing = self._mix(tokens[real])
            mixed = found.new_zeros(tokens.shape).index_copy(0, real, found)
        return mixed.view(x.shape), routing

    def _mix(self, tokens: Tensor) -> tuple[Tensor, Routing]:
        """tokens [N, W] -> the experts' results, weighted by the gates, and routing statistics."""
        choice = self.router(tokens)
        k = self.settings.top_k
        capacity = expert_capacity(len(tokens), self.settings, self.training)
        plan = dispatch(choice.experts, self.settings.num_experts, capacity)
        copies = tokens.expand(k, *tokens.shape).reshape(-1, tokens.shape[1])  # [k * N, W]
        result = self._experts(copies[plan.assignments], plan.counts)  # [A, W]
        placed = result.new_zeros(copies.shape).index_copy(0, plan.assignments, result)  # [k * N, W]
        gates = choice.gates.T[..., None].to(result.dtype)  # [k, N, 1]
        mixed = (placed.view(k, *tokens.shape) * gates).sum(dim=0)  # [N, W]
        assigned = choice.experts.numel()
        dropped = (assigned - len(plan.assignments)) / max(assigned, 1)
        return mixed, choice.routing._replace(dropped=choice.routing.dropped + dropped)

    def _experts(self, x: Tensor, counts: Tensor) -> Tensor:
        """x [A, W] in expert order, counts int64 [E] -> [A, W]."""
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        x = x.to(dtype)
        if self.group is None:
            return self._run_experts(x, counts)
        # Rows travel to the ranks of their experts, grouped by sender there, and back.
        incoming = exchange_counts(counts, self.group)  # [ranks, E / ranks]
        sent, received = counts.view(incoming.shape).sum(dim=1).tolist(), incoming.sum(dim=1).tolist()
        rows = exchange_rows(x, received, sent, self.group)
        expert = torch.arange(incoming.shape[1], device=x.device).repeat(len(incoming))
        order = torch.repeat_interleave(expert, incoming.flatten()).argsort(stable=True)
        found = self._run_experts(rows[order], incoming.sum(dim=0))
        return exchange_rows(found.new_zeros(rows.shape).index_copy(0, order, found), sent, received, self.group)

    def _run_experts(self, x: Tensor, counts: Tensor) -> Tensor:
        """x [A, W] in the order of the experts held here -> [A, W]."""
        gate_up, down = (local_weight(weight).to(x.dtype) for weight in (self.gate_up, self.down))
        gate, up = grouped_matmul(x, gate_up, counts).chunk(2, dim=-1)  # [A, F] each
        inner = F.dropout(F.silu(gate) * up, self.settings.dropout, self.training)
        return grouped_matmul(inner, down, counts)


def grouped_matmul(x: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    """x [A, I] in expert order, weights [E, I, O], counts [E] -> [A, O]: each slice times its own expert's matrix."""
    if x.is_cuda and x.dtype is torch.bfloat16:  # one kernel for all experts; counts stay on the device
        return F.grouped_mm(x, weights, offs=counts.cumsum(0).to(torch.int32))
    slices = torch.split(x, counts.tolist())
    return torch.cat([part @ weights[expert] for expert, part in enumerate(slices)])
