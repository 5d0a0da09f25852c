"""Several processes (ranks): the process group, the mesh, and sums over ranks.

`torchrun --nproc-per-node N ... gristmill train pretrain ...` sets the environment that `join_world` reads. One process
runs the same code with a world of one. Ranks of a tensor group compute the same sequences together; all others read
different ones (`World.reader`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from trainer.training.mesh import AXES, MeshShape, ParallelSettings, fit_mesh

Value = TypeVar("Value")


class World(NamedTuple):
    """This process among all processes of the run."""

    rank: int
    size: int
    device: torch.device
    shape: MeshShape = MeshShape()
    mesh: DeviceMesh | None = None  # with the dimensions AXES, and `readers`; None for one process

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and logs."""
        return self.rank == 0

    @property
    def reader(self) -> int:
        """Which part of a batch this rank reads, of `shape.readers` parts."""
        return self.rank // self.shape.tensor


@contextmanager
def join_world(parallel: ParallelSettings | None = None) -> Iterator[World]:
    """Join the process group that torchrun describes, if any, and leave it at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0")) if size > 1 else 0
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    shape = fit_mesh(parallel or ParallelSettings(), size)
    if size == 1:
        yield World(rank, size, device, shape)
        return
    begun = dist.is_initialized()
    if not begun:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield build_world(rank, device, shape)
    finally:
        if not begun:
            dist.destroy_process_group()


def build_world(rank: int, device: torch.device, shape: MeshShape) -> World:
    """The world of this rank in a process group that was joined."""
    mesh = init_device_mesh(device.type, tuple(shape._asdict()[name] for name in AXES), mesh_dim_names=AXES)
    return World(rank, shape.ranks, device, shape, mesh)


def sum_over_readers(values: Tensor, world: World) -> Tensor:
    """Elementwise sum over the parts of a batch; every rank gets the same bits."""
    if world.mesh is not None and world.shape.tensor > 1:
        if world.shape.readers > 1:
            dist.all_reduce(values, group=world.mesh["data", "shard", "expert"]._flatten("readers").get_group())
    else:
        sum_over_ranks(values, world)
    return values


def sum_over_ranks(values: Tensor, world: World) -> Tensor:
    """Elementwise sum over all ranks; every rank gets the same bits."""
    if world.size > 1:
        dist.all_reduce(values)
    return values


def count_ranks(flag: bool, world: World) -> int:
    """On how many ranks the flag is set."""
    return int(sum_over_ranks(torch.tensor(float(flag), device=world.device), world))


def gather_from_ranks(values: Tensor, world: World) -> list[Tensor]:
    """The tensors of all ranks, of equal shape, in rank order; on every rank."""
    if world.size == 1:
        return [values]
    everyone = [torch.empty_like(values) for _ in range(world.size)]
    dist.all_gather(everyone, values)
    return everyone


def gather_from_readers(value: Value, world: World) -> list[Value]:
    """What each part of a batch gave, in their order; on every rank."""
    if world.size == 1:
        return [value]
    everyone = [value] * world.size
    dist.all_gather_object(everyone, value)
    return everyone[:: world.shape.tensor]  # ranks of a tensor group read the same part


def wait_for_all(world: World) -> None:
    if world.size > 1:
        dist.barrier()


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor of a shard, detached. A collective operation: all ranks must call it."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()
