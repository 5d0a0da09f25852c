"""The mesh: how the ranks of a run divide the copies, shards, columns and experts of a model.

Ranks are numbered with `tensor` running fastest, then `expert`, `shard` and `data`: the ranks of a tensor group, which
exchange the most, are neighbors on one machine.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field

from trainer.errors import UserError
from trainer.model.model_settings import ModelSettings
from trainer.settings import Settings

AXES = ("data", "shard", "expert", "tensor")  # the slowest first


class ParallelSettings(Settings):
    """The number of ranks along each axis; their product is the number of ranks that torchrun starts.

    Sources: shards of ZeRO-3 (Rajbhandari et al. 2020) by torch's FSDP2, their copies (HSDP) of Zhao et al. 2023;
    columns and rows of Megatron-LM (Shoeybi et al. 2019) with sequence parallel norms (Korthikanti et al. 2022);
    experts of GShard (Lepikhin et al. 2020).
    """

    data: int | None = Field(
        default=None,
        ge=1,
        description="copies of the model, which read different sequences; if unset 1, or all others if `shard` is set",
    )
    shard: int | None = Field(
        default=None,
        ge=1,
        description="shards of a copy's weights, gradients and moments, gathered block by block (FSDP); all other "
        "ranks if unset. With 1, and 1 for tensor and expert, every rank holds all weights (DDP)",
    )
    tensor: int = Field(
        default=1,
        ge=1,
        description="ranks that divide every matrix by heads and columns, and the sequence between matrices; on one "
        "machine, as they exchange activations four times a block",
    )
    expert: int = Field(
        default=1, ge=1, description="ranks that divide the experts of sparse blocks; each reads its own sequences"
    )
    defer_gradients: bool = Field(
        default=False,
        description="sum gradients over shards once a step, not once a micro-batch: less communication, but every rank "
        "holds the whole gradient in fp32, 4 bytes for each weight",
    )


class MeshShape(NamedTuple):
    """Ranks along each axis."""

    data: int = 1
    shard: int = 1
    expert: int = 1
    tensor: int = 1

    @property
    def ranks(self) -> int:
        return self.readers * self.tensor

    @property
    def readers(self) -> int:
        """Parts of a batch: the ranks of a tensor group read the same sequences."""
        return self.data * self.shard * self.expert

    @property
    def replicates(self) -> bool:
        """Whether every rank holds all weights."""
        return self.shard == self.expert == self.tensor == 1


def fit_mesh(settings: ParallelSettings, ranks: int) -> MeshShape:
    """The mesh of a number of ranks."""
    rest, left = divmod(ranks, settings.tensor * settings.expert * (settings.data or 1) * (settings.shard or 1))
    data = settings.data or (rest if settings.shard else 1)
    shard = settings.shard or rest
    shape = MeshShape(data, shard, settings.expert, settings.tensor)
    if left or shape.ranks != ranks:
        given = ", ".join(f"{name} = {getattr(settings, name) or 'unset'}" for name in AXES)
        raise UserError(
            f"parallel: {given} cannot be the axes of {ranks} ranks, whose number is their product; change one, "
            "or --nproc-per-node"
        )
    return shape


def find_misfit(settings: ParallelSettings, model: ModelSettings) -> str | None:
    """Why the axes do not divide a model, in one line; None if they do."""
    tensor, expert = settings.tensor, settings.expert
    if tensor > 1 and model.encoder_layers:
        return "parallel.tensor divides decoders only, and the model is an encoder-decoder; set it to 1"
    if tensor > 1 and model.lora and model.lora.dropout:
        return "parallel.tensor divides the inputs that model.lora.dropout draws from; set the dropout to 0"
    if tensor > 1 and model.retro:
        return "parallel.tensor does not divide cross-attention to neighbors (model.retro); set it to 1"
    if expert > 1 and model.experts is None:
        return "parallel.expert is above 1 and the model has no experts; set it to 1"
    parts = {
        "model.kv_heads": (model.num_kv_heads, tensor, "tensor"),
        "model.heads": (model.heads, tensor, "tensor"),
        "model.ffn_hidden_size": (model.intermediate_size, tensor, "tensor"),
        "the padded vocabulary": (model.padded_vocab_size, tensor, "tensor"),
        "model.experts.num_experts": (model.experts.num_experts if model.experts else expert, expert, "expert"),
    }
    for name, (size, number, axis) in parts.items():
        if size % number:
            return f"{name} = {size} cannot be divided among parallel.{axis} = {number} ranks"
    return None
