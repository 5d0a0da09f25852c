"""The gradient of one optimizer step: micro-batches accumulated, every token of the global batch counted once.

The loss of a step is the sum over its counted tokens on all ranks, divided by their number. A mean of the micro-
batches' means differs from it where they hold different numbers of counted tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.model.decoder import ModelOutput
from trainer.model.experts import ExpertSettings, Routing
from trainer.training.distributed import World, sum_over_ranks, sum_over_readers
from trainer.training.parallelize import exchange_gradients

Inputs = dict[str, Tensor]  # keyword arguments of a model's forward pass; `weights` marks the targets that count


class Replica(NamedTuple):
    """The trained model as this rank runs it."""

    module: nn.Module  # called for a forward pass: the model or its distributed wrapper
    world: World
    bf16: bool  # matrix products in bf16
    defer_gradients: bool = False  # exchange them after the last micro-batch of a step only


class Accumulated(NamedTuple):
    """The results of a step's forward passes, beside the weights' gradients."""

    loss: float  # cross-entropy in nats per token, over the global batch
    tokens: int  # counted in the loss, on all ranks
    token_losses: list[Tensor]  # of this rank's micro-batches, fp32 [B, S] each, on the CPU
    routing: Routing | None  # averaged over micro-batches and ranks


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[None]:
    """bf16 matrix products over fp32 weights, or plain fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def accumulate(
    model: nn.Module,
    parts: Sequence[Inputs],
    world: World,
    bf16: bool = False,
    experts: ExpertSettings | None = None,
    defer_gradients: bool = False,
) -> Accumulated:
    """Add the gradient of a step, given as this rank's micro-batches, to the weights' `grad`."""
    counts = [float(part["weights"].sum()) for part in parts]
    tokens = float(sum_over_readers(torch.tensor(sum(counts), dtype=torch.float64, device=world.device), world))
    total = torch.zeros((), dtype=torch.float64, device=world.device)
    losses, routings = [], []
    for number, (part, count) in enumerate(zip(parts, counts, strict=True)):
        with exchange_gradients(model, number == len(parts) - 1, defer_gradients):
            with autocast(world.device, bf16):
                output: ModelOutput = model(**{name: tensor.to(world.device) for name, tensor in part.items()})
            if output.loss is None or output.token_losses is None:
                raise ValueError("the micro-batch has no targets")
            loss = output.loss / max(tokens, 1)
            if experts is not None and output.routing is not None:  # not a sum over tokens: weighted by the part's
                # Within a tensor group each rank routes its part of the sequences.
                loss = loss + output.routing.loss(experts) * (count / max(tokens, 1) / world.shape.tensor)
                routings.append(Routing(*(field.detach() * count for field in output.routing)))
            torch.autograd.backward(loss * world.shape.readers)
        total += (output.token_losses * part["weights"].to(world.device)).sum()  # without the z-loss
        losses.append(output.token_losses)
    total = sum_over_readers(total, world)
    routing = _mean_routing(routings, tokens, world) if routings else None
    return Accumulated(float(total) / max(tokens, 1), int(tokens), [part.cpu() for part in losses], routing)


def _mean_routing(parts: list[Routing], tokens: float, world: World) -> Routing:
    """Mean over the global batch of values weighted by tokens."""
    sums = (torch.stack(field).sum(dim=0) for field in zip(*parts, strict=True))
    shared = max(tokens, 1) * world.shape.tensor
    return Routing(*(sum_over_ranks(field, world).cpu() / shared for field in sums))


@torch.no_grad()
def evaluate_loss(model: nn.Module, parts: Sequence[Inputs], world: World, bf16: bool = False) -> list[Tensor]:
    """Loss of every token, fp32 [B, S] for each part, in evaluation mode: without dropout and capacity limits."""
    model.eval()
    losses = []
    for part in parts:
        with autocast(world.device, bf16):
            output: ModelOutput = model(**{name: tensor.to(world.device) for name, tensor in part.items()})
        if output.token_losses is not None:
            losses.append(output.token_losses.cpu())
    model.train()
    return losses
