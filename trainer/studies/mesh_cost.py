"""What a mesh costs: memory of a rank, and bytes that it sends for each axis; a proposal for a number of GPUs.

Memory is counted from the tensors that training holds: fp32 weights, gradients and AdamW's two moments in shards; the
weights of two blocks gathered, and the gradients of one; what a forward pass saves for the backward pass; the head's
gradient and a block of logits. Not counted: the CUDA context, the allocator's fragments and libraries' workspaces, for
which RESERVE of the memory is left. tests/trainer/studies/test_mesh_cost.py measures a small case.

Bytes are those that one rank sends, with ring algorithms: a gather or a scattered sum of B bytes over n ranks sends
B (n - 1) / n, a sum twice as much (Thakur et al. 2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field

from trainer.errors import UserError
from trainer.model.loss import CUDA_BLOCK_BYTES
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.settings import Settings
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.hardware import Precision
from trainer.training.mesh import AXES, MeshShape, ParallelSettings, find_misfit

STATE_BYTES = 16  # of a weight in fp32 with its gradient and AdamW's two moments
RESERVE = 0.1  # share of a GPU's memory that is left for what is not counted
GB = 1e9


class ClusterSettings(Settings):
    """The GPUs and how they are connected. The rates are those of eight H100 with NVLink and 400 Gbit/s for each."""

    gpus: int = Field(default=8, ge=1, description="number of GPUs")
    memory: float = Field(default=80.0, gt=0, description="memory of a GPU, in GB")
    gpus_per_machine: int = Field(default=8, ge=1, description="GPUs that are connected by fast links")
    link: float = Field(default=450.0, gt=0, description="GB/s that a GPU sends to others of its machine")
    network: float = Field(default=50.0, gt=0, description="GB/s that a GPU sends to other machines")
    rate: float = Field(default=400.0, gt=0, description="TFLOP/s that training reaches on one GPU: peak times MFU")


class PlannedStep(NamedTuple):
    """A model, and how a step of training runs through it."""

    model: ModelSettings
    sequence_length: int
    batch_size: int  # sequences of a step, over all ranks
    micro_batch_size: int | None  # of a rank; all of its sequences if None
    bf16: bool
    checkpointing: bool  # activations are computed again
    deferred: bool  # gradients are summed once a step

    @classmethod
    def of(cls, run: PretrainSettings) -> PlannedStep:
        """The workload of a run's settings; precision `auto` is bf16, as GPUs choose it."""
        loop = run.loop
        return cls(
            model=run.model,
            sequence_length=run.data.sequence_length,
            batch_size=run.data.batch_size,
            micro_batch_size=loop.micro_batch_size,
            bf16=loop.precision is not Precision.FLOAT32,
            checkpointing=loop.activation_checkpointing,
            deferred=run.parallel.defer_gradients,
        )


class Memory(NamedTuple):
    """Bytes that a rank holds at the peak."""

    state: float  # its shards of weights, gradients and moments
    gathered: float  # whole weights and gradients of the blocks at work, of embedding and head
    activations: float
    loss: float  # the head's gradient, and a block of logits

    @property
    def total(self) -> float:
        return sum(self)


class Traffic(NamedTuple):
    """Bytes that a rank sends in a step, over all layers, for each axis."""

    data: float
    shard: float
    expert: float
    tensor: float


@dataclass(frozen=True)
class MeshCost:
    """A mesh, and what it costs."""

    shape: MeshShape
    memory: Memory
    traffic: Traffic
    seconds: float  # of a step; sums and gathers of weights are hidden behind the computation as far as it lasts
    waiting: float  # seconds of it that are not hidden

    def as_json(self) -> dict[str, Any]:
        """Every number by its name, in ranks, bytes and seconds."""
        return {
            "mesh": self.shape._asdict(),
            "memory": self.memory._asdict(),
            "sent": self.traffic._asdict(),
            "seconds": self.seconds,
            "waiting": self.waiting,
        }


def block_parameters(model: ModelSettings) -> tuple[float, float]:
    """Weights of a mean block: dense ones (attention, norms, router, dense feed-forward), and those of experts."""
    attention = model.hidden_size * model.dim_per_head * (2 * model.heads + 2 * model.num_kv_heads)
    feed_forward = 3 * model.hidden_size * model.intermediate_size
    sparse = sum(model.is_sparse(block) for block in range(model.layers)) / model.layers
    number = model.experts.num_experts if model.experts else 0
    dense = attention + 2 * model.hidden_size + (1 - sparse) * feed_forward + sparse * number * model.hidden_size
    return dense, sparse * number * feed_forward


def saved_per_token(model: ModelSettings, bf16: bool, tensor: int = 1) -> float:
    """Bytes that a mean block saves for the backward pass, for each token of a micro-batch.

    fp32: the inputs of both norms. In the type of products: the inputs of the projections, which every rank of a
    tensor group holds whole; rotated queries and keys, values, the result of attention; the gate, its activation, up,
    and their product. Experts have a token's copies and results once more for each of top_k.
    """
    size = 2 if bf16 else 4
    width, heads = model.hidden_size, model.heads * model.dim_per_head
    keys = model.num_kv_heads * model.dim_per_head
    sparse = sum(model.is_sparse(block) for block in range(model.layers)) / model.layers
    norms = (2 * width + 2) * 4 / tensor
    attention = size * width + (size * (2 * heads + 2 * keys) + 4 * model.heads) / tensor
    dense = size * (width + 4 * model.intermediate_size / tensor)
    k = model.experts.top_k if model.experts else 0
    experts = size * k * (3 * width + 4 * model.intermediate_size) / tensor
    return norms + attention + (1 - sparse) * dense + sparse * experts


def count_memory(work: PlannedStep, shape: MeshShape) -> Memory:
    """The peak of a rank, at the beginning of the backward pass."""
    model, size = work.model, 2 if work.bf16 else 4
    dense, experts = block_parameters(model)
    root = count_parameters(model) - model.layers * (dense + experts)
    dense, root, experts = dense / shape.tensor, root / shape.tensor, experts / shape.expert
    shards = shape.shard * shape.expert
    state = STATE_BYTES * ((model.layers * dense + root) / shards + model.layers * experts / shape.shard)
    gathered = 0.0
    if not shape.replicates:
        gathered = (2 * size + 4) * (dense + experts) + (4 + 4) * root
    if work.deferred and shards > 1:
        gathered += 4 * model.layers * (dense + experts)
    tokens = micro_batch(work, shape) * work.sequence_length
    saved = saved_per_token(model, work.bf16, shape.tensor)
    stream = 4 * model.hidden_size / shape.tensor
    kept = saved + model.layers * stream if work.checkpointing else model.layers * saved
    head = 4 * model.padded_vocab_size * model.hidden_size / shape.tensor
    last = tokens * (stream + 4 + 2 * size * model.hidden_size)
    return Memory(state, gathered, tokens * kept + last, head + 2 * CUDA_BLOCK_BYTES)


def micro_batch(work: PlannedStep, shape: MeshShape) -> int:
    """Sequences of a forward pass on one rank."""
    share = max(work.batch_size // shape.readers, 1)
    return min(work.micro_batch_size or share, share)


def count_traffic(work: PlannedStep, shape: MeshShape) -> Traffic:
    """Bytes that a rank sends in a step."""
    model, size = work.model, 2 if work.bf16 else 4
    dense, experts = block_parameters(model)
    root = count_parameters(model) - model.layers * (dense + experts)
    dense, experts = model.layers * dense / shape.tensor, model.layers * experts / shape.expert
    root /= shape.tensor
    share = max(work.batch_size // shape.readers, 1)
    passes = -(-share // micro_batch(work, shape))
    sums = 1 if work.deferred else passes

    def part(ranks: int) -> float:
        return (ranks - 1) / ranks

    shards = shape.shard * shape.expert
    data = 2 * part(shape.data) * 4 * ((dense + root) / shards + experts / shape.shard) * (sums if shards > 1 else 1)
    # Weights are gathered forward and backward, embedding and head (in fp32) once; gradients are summed in fp32.
    shard = part(shards) * (passes * (2 * size * dense + 4 * root) + sums * 4 * (dense + root))
    shard += part(shape.shard) * (passes * 2 * size + sums * 4) * experts
    if shape.replicates:
        shard = 0.0
    stream = share * work.sequence_length * model.hidden_size * size
    again = 1.5 if work.checkpointing else 1.0  # a block's forward pass runs twice
    # The embedding's result and the head's input, in fp32, forward and backward; the sequence of each block four times.
    tensor = part(shape.tensor) * stream * (8 * again * model.layers + 4 * 4 / size)
    k = model.experts.top_k if model.experts else 0
    sparse = sum(model.is_sparse(block) for block in range(model.layers))
    expert = 4 * again * part(shape.expert) * k * stream / shape.tensor * sparse
    return Traffic(data, shard, expert, tensor)


def estimate_mesh(work: PlannedStep, shape: MeshShape, cluster: ClusterSettings) -> MeshCost:
    """Memory, bytes and seconds of a mesh; a group of ranks that spans machines sends through the network.

    Columns and experts send what the next product needs, so ranks wait for it.
    """
    traffic = count_traffic(work, shape)
    spans = {
        "tensor": shape.tensor,
        "expert": shape.tensor * shape.expert,
        "shard": shape.tensor * shape.expert * shape.shard,
        "data": shape.ranks,
    }
    sending = {
        axis: sent / GB / (cluster.link if spans[axis] <= cluster.gpus_per_machine else cluster.network)
        for axis, sent in traffic._asdict().items()
    }
    tokens = work.batch_size * work.sequence_length / shape.ranks
    computing = tokens * count_flops_per_token(work.model, work.sequence_length) / (cluster.rate * 1e12)
    late = max(0.0, sending["data"] + sending["shard"] - computing)
    waiting = sending["tensor"] + sending["expert"] + late
    return MeshCost(shape, count_memory(work, shape), traffic, computing + waiting, waiting)


def list_meshes(work: PlannedStep, cluster: ClusterSettings) -> Iterator[MeshShape]:
    """Every mesh of all GPUs that divides the model and the batch; tensor groups stay on one machine."""
    for tensor in _divisors(min(cluster.gpus, cluster.gpus_per_machine)):
        for expert in _divisors(work.model.experts.num_experts if work.model.experts else 1):
            rest, left = divmod(cluster.gpus, tensor * expert)
            if left or cluster.gpus_per_machine % tensor:
                continue
            for shard in _divisors(rest):
                shape = MeshShape(rest // shard, shard, expert, tensor)
                asked = ParallelSettings(**shape._asdict())
                fits = find_misfit(asked, work.model) is None
                if fits and work.batch_size % shape.readers == 0:
                    yield shape


def _divisors(number: int) -> list[int]:
    return [value for value in range(1, number + 1) if number % value == 0]


def rank_meshes(work: PlannedStep, cluster: ClusterSettings) -> list[MeshCost]:
    """The meshes that fit into the memory, the fastest first and of equal ones that which sends least.

    Raises UserError where none fits.
    """
    found = [estimate_mesh(work, shape, cluster) for shape in list_meshes(work, cluster)]
    room = cluster.memory * GB * (1 - RESERVE)
    fitting = sorted(
        (cost for cost in found if cost.memory.total <= room),
        key=lambda cost: (round(cost.seconds, 3), sum(cost.traffic), cost.memory.total),
    )
    if not fitting:
        least = min(found, key=lambda cost: cost.memory.total, default=None)
        if least is None:
            raise UserError(
                f"no mesh of {cluster.gpus} GPUs divides a batch of {work.batch_size} sequences; change data.batch_size"
            )
        raise UserError(
            f"no mesh of {cluster.gpus} GPUs fits into {cluster.memory:g} GB: {describe_shape(least.shape)} needs "
            f"{least.memory.total / GB:.1f} GB and a tenth is left free; take more GPUs, a smaller "
            "loop.micro_batch_size, or loop.activation_checkpointing = true"
        )
    return fitting


def describe_shape(shape: MeshShape) -> str:
    """The settings of a mesh."""
    return ", ".join(f"parallel.{axis} = {getattr(shape, axis)}" for axis in AXES)


def format_meshes(work: PlannedStep, cluster: ClusterSettings, ranked: list[MeshCost], most: int = 5) -> str:
    """The proposal and the meshes after it, for a terminal."""
    best, layers = ranked[0], work.model.layers
    memory, sent = best.memory, best.traffic
    per_layer = ", ".join(f"{axis} {_size(value)} ({_size(value / layers)})" for axis, value in sent._asdict().items())
    lines = [
        f"proposed     {describe_shape(best.shape)}",
        f"memory       {memory.total / GB:.1f} GB of {cluster.memory:g} on each of {cluster.gpus} GPUs: weights, "
        f"gradients and moments {memory.state / GB:.1f}, gathered blocks {memory.gathered / GB:.1f}, activations "
        f"{memory.activations / GB:.1f}, head and logits {memory.loss / GB:.1f}",
        f"sent         by a rank in a step, and for one layer of {layers}: {per_layer}",
        f"step         {best.seconds:.3g} s, {best.waiting:.3g} of them waiting, at {cluster.rate:g} TFLOP/s, "
        f"{cluster.link:g} GB/s inside and {cluster.network:g} between machines",
        "",
        f"{'data':>5} {'shard':>6} {'expert':>7} {'tensor':>7} {'memory':>10} {'sent':>11} {'seconds':>9}",
    ]
    for cost in ranked[:most]:
        data, shard, expert, tensor = cost.shape
        lines.append(
            f"{data:>5} {shard:>6} {expert:>7} {tensor:>7} {_size(cost.memory.total):>10} "
            f"{_size(sum(cost.traffic)):>11} {cost.seconds:>9.3g}"
        )
    return "\n".join(lines)


def _size(value: float) -> str:
    return f"{value / GB:.2f} GB" if value >= 1e7 else f"{value / 1e6:.2f} MB" if value else "0"
