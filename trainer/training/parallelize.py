"""The model on the ranks of a mesh: copies (DDP), shards (FSDP2), columns and rows (DTensor), experts.

Both wrappers average gradients over the parts of a batch; `step.py` multiplies its loss by their number, so that
gradients are summed, and divides by the global token count.

Tensor parallel: the queries', keys', values', gate's and up's matrices are divided by columns, `out` and `down` by
rows, the embedding and the head by vocabulary. Between them each rank of the group holds its part of every sequence:
norms and residual stream are computed once, and a block gathers the sequence twice and scatters sums twice. All
decoders of a model are divided, so a policy's value model too; its scalar head is copied, like norms and routers.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)
from torch.distributed.tensor.placement_types import Placement
from torch.nn.parallel import DistributedDataParallel

from trainer.model.build import blocks_of
from trainer.model.decoder import Decoder, FeedForward
from trainer.model.experts import Router, SparseFeedForward
from trainer.model.lora import LoraLinear
from trainer.model.norm import RMSNorm
from trainer.training.distributed import World

# Said once a run: sums over two dimensions of a mesh, and gathering whole tensors for a checkpoint, in two operations.
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
# Nothing is added in place to the result of a sparse feed-forward or to values, so their views are safe.
warnings.filterwarnings("ignore", ".*FSDP(SparseFeedForward|Decoder|PolicyAndValue).* returned a view tensor")


def parallelize(model: nn.Module, world: World, bf16: bool) -> nn.Module:
    """Allocate a model that was built on the meta device; returns the module to call for a forward pass.

    The weights stay those of `model`, not yet initialized; each rank holds only its parts of them. bf16: shards of the
    matrices of blocks are gathered in bf16, which autocast would round to it anyway.
    """
    if world.mesh is None or world.shape.replicates:
        model.to_empty(device=world.device)
        if world.size == 1:
            return model
        devices = [world.device.index] if world.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)  # no second gradient
    if world.shape.tensor > 1:
        decoders = [module for module in model.modules() if isinstance(module, Decoder)]
        if not decoders:
            raise TypeError("only decoders are divided among the ranks of a tensor group")
        for decoder in decoders:
            _divide_matrices(decoder, world.mesh["tensor"])
        _divide_other_weights(model, world.mesh["tensor"])
    if world.shape.expert > 1:
        _divide_experts(model, world)
    _shard(model, world, bf16)
    return model.to_empty(device=world.device)


def _divide_matrices(model: Decoder, mesh: DeviceMesh) -> None:
    """Tensor parallel by torch's plans."""
    parallelize_module(model, mesh, {"embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1))})
    if model.head is not None:
        _place(model.head, "weight", mesh, Replicate() if model.settings.scalar_head else Shard(0))
    gathered: tuple[Placement | None, ...] = (Shard(1), None, None, None)
    attention = {
        "attention": PrepareModuleInput(input_layouts=gathered, desired_input_layouts=(Replicate(), None, None, None)),
        **{f"attention.{part}": ColwiseParallel() for part in ("q", "k", "v")},
        "attention.out": RowwiseParallel(output_layouts=Shard(1)),
    }
    feed_forward = {
        "feed_forward": PrepareModuleInput(input_layouts=Shard(1), desired_input_layouts=Replicate()),
        **{f"feed_forward.{part}": ColwiseParallel() for part in ("gate", "up")},
        "feed_forward.down": RowwiseParallel(output_layouts=Shard(1)),
    }
    for block in model.blocks:
        dense = isinstance(block.feed_forward, FeedForward)
        parallelize_module(block, mesh, attention | (feed_forward if dense else {}))
    model.tensor_mesh = mesh


def _divide_other_weights(model: nn.Module, mesh: DeviceMesh) -> None:
    """Norms, routers and experts are equal on the ranks of a tensor group.

    Of an adapter the first matrix is divided as the inputs of its layer are, the second one as the outputs.
    """
    for module in model.modules():
        if isinstance(module, (RMSNorm, Router, SparseFeedForward)):
            for name, _ in list(module.named_parameters(recurse=False)):
                _place(module, name, mesh, Replicate())
        elif isinstance(module, LoraLinear):
            columns = isinstance(module.weight, DTensor) and module.weight.placements == (Shard(0),)
            _place(module, "lora_a", mesh, Replicate() if columns else Shard(1))
            _place(module, "lora_b", mesh, Shard(0) if columns else Replicate())


def _divide_experts(model: nn.Module, world: World) -> None:
    """Each rank of an expert group holds an equal part of every sparse block's experts."""
    if world.mesh is None:
        return
    for module in model.modules():
        if isinstance(module, SparseFeedForward):
            mesh = world.mesh["expert", "tensor"] if world.shape.tensor > 1 else world.mesh["expert"]
            placements = (Shard(0), Replicate()) if world.shape.tensor > 1 else (Shard(0),)
            for name in ("gate_up", "down"):
                _place(module, name, mesh, *placements)
            module.group = world.mesh["expert"].get_group()


def _place(module: nn.Module, name: str, mesh: DeviceMesh, *placements: Placement) -> None:
    """A weight of a module on the meta device as a DTensor, which is frozen if the weight was."""
    weight = getattr(module, name)
    whole = torch.empty(weight.shape, dtype=weight.dtype, device="meta")
    setattr(module, name, nn.Parameter(distribute_tensor(whole, mesh, placements), weight.requires_grad))


def _shard(model: nn.Module, world: World, bf16: bool) -> None:
    dense, sparse = _shard_meshes(world)
    # What autocast computes in fp32 under DDP stays fp32 here: the residual stream, norms, routers and the embedding.
    exact = MixedPrecisionPolicy(None, torch.float32, cast_forward_inputs=False)
    matrices = MixedPrecisionPolicy(torch.bfloat16 if bf16 else None, torch.float32, cast_forward_inputs=False)
    for block in blocks_of(model):
        for module in block.modules():
            if isinstance(module, (Router, RMSNorm)):
                fully_shard(module, mesh=dense, mp_policy=exact)
        for module in block.modules() if world.shape.expert > 1 else ():
            if isinstance(module, SparseFeedForward):
                experts = fully_shard(module, mesh=sparse, mp_policy=matrices)
                # The tokens of all expert ranks are in its gradient already: divide by all parts, not by those summed.
                experts.set_gradient_divide_factor(world.shape.readers)
                # gloo has no scaled sum; torch 2.13 would divide a single shard twice.
                experts.set_force_sum_reduction_for_comms(world.shape.shard > 1)
        fully_shard(block, mesh=dense, mp_policy=matrices)
    fully_shard(model, mesh=dense, mp_policy=exact)


def _shard_meshes(world: World) -> tuple[DeviceMesh, DeviceMesh]:
    """The meshes over which dense weights and experts are sharded: with a first dimension for copies, if there are any.

    Dense weights are sharded over the expert ranks too, as these read different sequences.
    """
    if world.mesh is None:
        raise ValueError("one process has no mesh")
    sparse = dense = world.mesh["shard"]
    if world.shape.expert > 1:
        dense = world.mesh["shard", "expert"]._flatten("shard_expert")
    if world.shape.data == 1:
        return dense, sparse
    copies = world.mesh["data"]
    return DeviceMesh._concatenate([copies, dense]), DeviceMesh._concatenate([copies, sparse])


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
