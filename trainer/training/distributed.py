"""Several processes (ranks): the process group, the model on several ranks (DDP or FSDP2), sums over all ranks.

`torchrun --nproc-per-node N ... gristmill train pretrain ...` sets the environment that `join_world` reads. One process
runs the same code with a world of one. Both wrappers average gradients over ranks; `step.py` multiplies its loss by the
number of ranks, so that gradients are summed, and divides by the global token count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from trainer.model.experts import Router
from trainer.model.norm import RMSNorm


class Parallel(StrEnum):
    """How several ranks hold the model."""

    DDP = "ddp"  # the whole model on every rank; gradients are summed
    FSDP = "fsdp"  # weights, gradients and optimizer in equal shards, gathered block by block (ZeRO-3, FSDP2)


class World(NamedTuple):
    """This process among all processes of the run."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and logs."""
        return self.rank == 0


@contextmanager
def join_world() -> Iterator[World]:
    """Join the process group that torchrun describes, if any, and leave it at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if size == 1 or dist.is_initialized():
        yield World(rank if size > 1 else 0, size, device)
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()


def parallelize(model: nn.Module, world: World, parallel: Parallel, bf16: bool) -> nn.Module:
    """Allocate a model that was built on the meta device; returns the module to call for a forward pass.

    The weights stay those of `model`, not yet initialized; under FSDP each rank holds only its shards of them. bf16:
    FSDP gathers the matrices of blocks in bf16, which autocast would round to it anyway.
    """
    if world.size == 1 or parallel is Parallel.DDP:
        model.to_empty(device=world.device)
        if world.size == 1:
            return model
        return DistributedDataParallel(model, device_ids=[world.device.index] if world.device.type == "cuda" else None)
    _shard(model, world, bf16)
    return model.to_empty(device=world.device)


def _shard(model: nn.Module, world: World, bf16: bool) -> None:
    mesh = init_device_mesh(world.device.type, (world.size,))
    # What autocast computes in fp32 under DDP stays fp32 here: the residual stream, norms, routers and the embedding.
    exact = MixedPrecisionPolicy(None, torch.float32, cast_forward_inputs=False)
    matrices = MixedPrecisionPolicy(torch.bfloat16 if bf16 else None, torch.float32, cast_forward_inputs=False)
    for block in blocks_of(model):
        for module in block.modules():
            if isinstance(module, (Router, RMSNorm)):
                fully_shard(module, mesh=mesh, mp_policy=exact)
        fully_shard(block, mesh=mesh, mp_policy=matrices)
    fully_shard(model, mesh=mesh, mp_policy=exact)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model's stacks (`blocks`, `encoder_blocks`), which are sharded and compiled one by one."""
    stacks = (stack for name, stack in model.named_children() if name.endswith("blocks"))
    return [block for stack in stacks for block in stack.children()]


@contextmanager
def exchange_gradients(model: nn.Module, last: bool, defer: bool = False) -> Iterator[None]:
    """The context of a micro-batch; `last` for the last one of a step.

    DDP holds all gradients on every rank in any case and sums them after the last micro-batch. FSDP sums and shards
    them after each, so that a rank never holds more than its shard and one block; with `defer` after the last only,
    which saves communication and needs memory for whole fp32 gradients.
    """
    if isinstance(model, DistributedDataParallel) and not last:
        with model.no_sync():
            yield
        return
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last or not defer)
    yield


def sum_over_ranks(values: Tensor, world: World) -> Tensor:
    """Elementwise sum; every rank gets the same bits."""
    if world.size > 1:
        dist.all_reduce(values)
    return values


def gather_from_ranks(values: Tensor, world: World) -> list[Tensor]:
    """The tensors of all ranks, of equal shape, in rank order; on every rank."""
    if world.size == 1:
        return [values]
    everyone = [torch.empty_like(values) for _ in range(world.size)]
    dist.all_gather(everyone, values)
    return everyone


def wait_for_all(world: World) -> None:
    if world.size > 1:
        dist.barrier()


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor of a shard, detached. A collective operation: all ranks must call it."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()
