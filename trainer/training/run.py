"""A training run in memory: its settings, how it begins, how it goes on from a checkpoint, and what it writes.

The loop itself is `pretrain.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import nn

from trainer.data.batches import BatchSource
from trainer.files import write_atomically
from trainer.model.build import build_model
from trainer.model.decoder import Decoder
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.model.weights import initialize_weights
from trainer.settings import Settings
from trainer.tasks.denoising import ObjectiveSettings
from trainer.training import checkpoint
from trainer.training.anomalies import AnomalySettings, SpikeDetector
from trainer.training.checkpoint import CheckpointSettings, State
from trainer.training.distributed import Parallel, World, parallelize, sum_over_ranks
from trainer.training.hardware import Hardware, Precision, measure_hardware
from trainer.training.optimizer import OptimizerSettings, build_optimizer
from trainer.training.schedule import ScheduleSettings


class LoopSettings(Settings):
    """How long, how split, how fast."""

    steps: int = Field(default=1000, ge=1)
    seed: int = 0  # of the first weights and of dropout
    micro_batch_size: int | None = Field(
        default=None, ge=1
    )  # rows of one forward pass on one rank; None: all of the rank's
    precision: Precision = Precision.AUTO
    compile: bool = False  # torch.compile, block by block: minutes at the start, faster steps on GPUs
    activation_checkpointing: bool = (
        False  # activation checkpointing: a third more compute, memory of one block's activations
    )
    parallel: Parallel = Parallel.FSDP  # with more than one rank
    threads: int | None = Field(default=None, ge=1)  # of a CPU; None: torch's choice
    deterministic: bool = False  # refuse kernels that add in changing order (CUDA; a CPU has none here)
    validate_every: int = Field(default=100, ge=1)  # steps, where there is validation data
    validate_batches: int = Field(default=8, ge=1)
    log_every: int = Field(default=10, ge=1)  # steps, on the console; metrics.jsonl has every step
    tensorboard: bool = False


class PretrainSettings(Settings):
    """Everything but the data."""

    model: ModelSettings = ModelSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    loop: LoopSettings = LoopSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    anomalies: AnomalySettings = AnomalySettings()

    @model_validator(mode="after")
    def _possible(self) -> PretrainSettings:
        if self.model.encoder_layers and not self.objective.denoisers:
            raise ValueError("an encoder-decoder learns by denoising; give objective.denoisers (span corruption: [{}])")
        return self


# Settings that may change between a checkpoint and its resume: they steer what is written, not what is computed.
# Of the data, the fingerprint is compared instead: a moved folder is no other data.
FREE = (
    "data",
    "tokenizer",
    "checkpoints",
    "anomalies",
    "loop.validate_every",
    "loop.validate_batches",
    "loop.log_every",
    "loop.tensorboard",
)


@dataclass
class Run:
    """A run in memory."""

    settings: PretrainSettings
    source: BatchSource
    out: Path
    world: World
    hardware: Hardware
    model: Decoder | EncoderDecoder  # owns the weights
    module: nn.Module  # what is called: the model, or its distributed wrapper
    optimizer: torch.optim.Optimizer
    detector: SpikeDetector
    configuration: dict[str, Any]  # the whole of it, for the checkpoint
    step: int = 0
    tokens: int = 0
    learning_rate: float = 0.0
    loss: float = math.nan

    @property
    def bf16(self) -> bool:
        return self.hardware.precision is Precision.BFLOAT16

    @property
    def folder(self) -> Path:
        """Of the checkpoints."""
        return self.out / "checkpoints"


def open_run(
    settings: PretrainSettings, source: BatchSource, out: Path, world: World, configuration: dict[str, Any] | None
) -> Run:
    """A run at step 0."""
    loop = settings.loop
    if loop.threads:
        torch.set_num_threads(loop.threads)
    torch.use_deterministic_algorithms(loop.deterministic)
    if source.settings.sequence_length > settings.model.context_length:
        raise ValueError(
            f"data.sequence_length = {source.settings.sequence_length} is longer than "
            f"model.context_length = {settings.model.context_length}"
        )
    if settings.objective.denoisers and settings.objective.highest >= settings.model.vocab_size:
        raise ValueError(
            f"objective uses id {settings.objective.highest} (a sentinel, mode or the separator), "
            f"and model.vocab_size = {settings.model.vocab_size} ends before it"
        )
    out.mkdir(parents=True, exist_ok=True)
    hardware = _agreed_hardware(world, out, loop.precision)
    model = build_model(settings.model)
    module = parallelize(model, world, loop.parallel, hardware.precision is Precision.BFLOAT16)
    initialize_weights(model, loop.seed, settings.model.init_std, settings.model.layers)
    torch.manual_seed(loop.seed * 1_000_003 + world.rank)
    model.activation_checkpointing = loop.activation_checkpointing
    if loop.compile:
        for module_list in (model.blocks, getattr(model, "encoder_blocks", ())):
            for block in module_list:
                block.compile()
    return Run(
        settings=settings,
        source=source,
        out=out,
        world=world,
        hardware=hardware,
        model=model,
        module=module,
        optimizer=build_optimizer(model, settings.optimizer),
        detector=SpikeDetector(settings.anomalies),
        configuration=configuration or settings.model_dump(mode="json"),
    )


def _agreed_hardware(world: World, out: Path, wanted: Precision) -> Hardware:
    """What this rank measures, in the precision that the run began with, or else that every rank would choose."""
    if wanted is Precision.AUTO and checkpoint.checkpoints(out / "checkpoints"):
        wanted = Precision(checkpoint.read_state(checkpoint.find(out)).precision)
    hardware = measure_hardware(world.device, wanted)
    bf16 = hardware.precision is Precision.BFLOAT16
    votes = sum_over_ranks(torch.tensor(float(bf16), device=world.device), world)
    agreed = Precision.BFLOAT16 if float(votes) == world.size else Precision.FLOAT32
    return hardware._replace(precision=agreed)


def resume(run: Run, path: Path, allow_changes: bool, log: Callable[[str], None]) -> None:
    """Put a run where its checkpoint was."""
    checkpoint.verify(path)
    state = checkpoint.read_state(path)
    changed = _changes(state.settings, run.configuration)
    if state.data["fingerprint"] != run.source.fingerprint:
        changed.append("the data (its files, weights, shares, seed or cut)")
    if changed and not allow_changes:
        raise ValueError(
            f"{path} was written with other settings: {'; '.join(changed)}. Restore them, choose another folder, "
            "or allow changes to go on knowingly"
        )
    checkpoint.load_weights(path, run.model)
    checkpoint.load_optimizer(path, run.model, run.optimizer)
    if not checkpoint.load_generators(path, run.world) and run.world.is_main:
        log(f"{state.world} ranks wrote {path.name}, {run.world.size} go on: same data, fresh dropout")
    run.step, run.tokens, run.learning_rate = state.step, state.tokens, state.learning_rate
    run.loss = state.losses[-1] if state.losses else math.nan
    run.detector = SpikeDetector(run.settings.anomalies, state.losses)
    if run.world.is_main:
        log(f"going on from {path}")


def _changes(before: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    """Settings that differ, by path, but for those that may: `model.hidden_size 256 -> 512`."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        place = f"{path}{name}"
        a, b = before.get(name), now.get(name)
        if a == b or place in FREE:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            found += _changes(a, b, f"{place}.")
        else:
            found.append(f"{place} {a} -> {b}")
    return found


def describe(run: Run, log: Callable[[str], None]) -> None:
    """Say what is about to run, and leave it in run.json for the report."""
    settings, hardware = run.settings, run.hardware
    facts: dict[str, Any] = {
        "settings": run.configuration,
        "parameters": count_parameters(settings.model),
        "active_parameters": count_parameters(settings.model, active=True),
        "flops_per_token": count_flops_per_token(settings.model, run.source.settings.sequence_length),
        "tokens_per_step": run.source.settings.batch_size * run.source.settings.sequence_length,
        "ranks": run.world.size,
        "hardware": hardware.name,
        "threads": hardware.threads,
        "peaks": hardware.peaks,
        "precision": hardware.precision.value,
        "domains": list(run.source.corpus.domains),
        "data": run.source.fingerprint,
        "torch": torch.__version__,
    }
    write_atomically(run.out / "run.json", json.dumps(facts, indent=1) + "\n")
    rates = ", ".join(f"{name} {peak / 1e9:,.0f}" for name, peak in hardware.peaks.items())
    log(f"{facts['parameters'] / 1e6:.1f}M parameters, {run.world.size} x {hardware.name}; GFLOP/s: {rates}")
    log(f"{hardware.precision.value}, {facts['tokens_per_step']:,} tokens a step, {settings.loop.steps:,} steps")


def save(run: Run) -> None:
    state = State(
        step=run.step,
        tokens=run.tokens,
        learning_rate=run.learning_rate,
        data={"fingerprint": run.source.fingerprint, "next_batch": run.step},
        settings=run.configuration,
        precision=run.hardware.precision.value,
        world=run.world.size,
        torch=torch.__version__,
        losses=tuple(run.detector.losses),
    )
    checkpoint.save(run.folder, state, run.model, run.optimizer, run.world)
    if run.world.is_main:
        checkpoint.prune(run.folder, run.settings.checkpoints)
