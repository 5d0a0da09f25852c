"""Settings of a training run, whatever it learns; a task adds its model and its data."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from trainer.settings import Settings
from trainer.training.anomalies import AnomalySettings
from trainer.training.checkpoint import CheckpointSettings
from trainer.training.hardware import Precision
from trainer.training.mesh import ParallelSettings
from trainer.training.optimizer import OptimizerSettings
from trainer.training.schedule import ScheduleSettings


class LoopSettings(Settings):
    """Length of the run, and how a step is computed."""

    steps: int = Field(default=1000, ge=1, description="optimizer steps of the run")
    seed: int = Field(default=0, description="seed of the initial weights, dropout and denoising")
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="sequences in one forward pass on one rank; all of the rank's sequences if unset",
    )
    precision: Precision = Field(
        default=Precision.AUTO,
        description="type of matrix products: auto (float32 or bfloat16, the faster one when a run starts), float32, "
        "bfloat16, or float8 (linear layers of blocks; GPUs from Ada and Hopper on)",
    )
    compile: bool = Field(
        default=False, description="compile each block with torch.compile: minutes at the start, faster steps on GPUs"
    )
    activation_checkpointing: bool = Field(
        default=False, description="recompute activations in the backward pass: a third more compute, far less memory"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads of torch; its own choice if unset")
    deterministic: bool = Field(
        default=False, description="refuse nondeterministic CUDA kernels (those of a CPU are deterministic)"
    )
    validate_every: int = Field(default=100, ge=1, description="steps between validations, if there is validation data")
    validate_batches: int = Field(default=8, ge=1, description="batches in one validation")
    patience: int | None = Field(
        default=None, ge=1, description="validations without a lower loss after which a run ends; never if unset"
    )
    log_every: int = Field(
        default=10, ge=1, description="steps between log lines on the console; metrics.jsonl has every step"
    )
    tensorboard: bool = Field(default=False, description="write the metrics to RUN/tensorboard as well")


class TrainingSettings(Settings):
    """What every task needs."""

    optimizer: OptimizerSettings = Field(
        default=OptimizerSettings(), description="AdamW or Muon, and gradient clipping"
    )
    schedule: ScheduleSettings = Field(default=ScheduleSettings(), description="learning rate of each step")
    loop: LoopSettings = Field(default=LoopSettings(), description="length of the run, and how a step is computed")
    parallel: ParallelSettings = Field(
        default=ParallelSettings(), description="how the ranks of torchrun divide copies, shards, matrices and experts"
    )
    checkpoints: CheckpointSettings = Field(
        default=CheckpointSettings(), description="when checkpoints are written, and which are kept"
    )
    anomalies: AnomalySettings = Field(
        default=AnomalySettings(), description="loss spikes and losses that are not finite"
    )

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        if self.loop.precision is Precision.FLOAT8 and self.parallel.tensor > 1:
            raise ValueError("loop.precision = float8 multiplies whole matrices; set parallel.tensor = 1, or bfloat16")
        return self
