"""Initial weights, and copies of full tensors into weights that may be sharded over ranks."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from trainer.model.model_settings import ModelSettings


@torch.no_grad()
def initialize_weights(model: nn.Module, seed: int) -> None:
    """Set every weight as a function of (seed, its name): the same on any device, in any order, in any sharding.

    Matrices are drawn from a normal distribution of standard deviation `init_std`; those that write to the residual
    stream (`out`, `down`) from init_std / sqrt(2 layers), which keeps the stream's variance through depth (GPT-2,
    Radford et al. 2019). Both numbers are those of the innermost network, a module with ModelSettings, that holds the
    weight. Norms start at 1. An adapter starts with variance 1 / (3 inputs) in its first matrix, as in PEFT, and with
    0 in its second.
    """
    shapes: dict[Tensor, ModelSettings] = {}
    for module in model.modules():  # a network before those within it
        if isinstance(module_settings := getattr(module, "settings", None), ModelSettings):
            shapes |= dict.fromkeys(module.parameters(), module_settings)
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            fill_weight(weight, torch.ones(weight.shape))
            continue
        if name.endswith("lora_b"):  # adapters change nothing at first
            fill_weight(weight, torch.zeros(weight.shape))
            continue
        number = int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest(), "big")
        into_residual = any(part in ("out", "down") for part in name.split("."))
        shape = shapes[weight]
        scale = shape.init_std / (2 * shape.layers) ** 0.5 if into_residual else shape.init_std
        if name.endswith("lora_a"):
            scale = (3 * weight.shape[1]) ** -0.5
        values = torch.empty(weight.shape).normal_(0, scale, generator=torch.Generator().manual_seed(number))
        fill_weight(weight, values)


@torch.no_grad()
def fill_weight(target: Tensor, value: Tensor) -> None:
    """Copy a full tensor into a weight, or this rank's part of it into a shard."""
    if tuple(target.shape) != tuple(value.shape):
        raise ValueError(f"a tensor of shape {tuple(value.shape)} does not fit a weight of shape {tuple(target.shape)}")
    if isinstance(target, DTensor):
        value = distribute_tensor(
            value.to(target.device, target.dtype), target.device_mesh, target.placements, src_data_rank=None
        )
    target.copy_(value)
