"""A training run in memory: how it is built, resumed from a checkpoint, described and saved. The loop is `loop.py`."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from trainer.files import write_atomically
from trainer.model.build import blocks_of, recompute_activations
from trainer.model.float8 import use_float8
from trainer.training import checkpoint
from trainer.training.anomalies import SpikeDetector
from trainer.training.checkpoint import BestValidation, CheckpointError, RunState
from trainer.training.checkpoint_writer import CheckpointWriter
from trainer.training.command_line import describe_command
from trainer.training.distributed import World, count_ranks
from trainer.training.hardware import Hardware, Precision, measure_hardware
from trainer.training.optimizer import build_optimizer
from trainer.training.parallelize import parallelize
from trainer.training.schedule import learning_rate
from trainer.training.step import Replica
from trainer.training.task import Task
from trainer.training.training_settings import LoopSettings, TrainingSettings

# Settings that may change on resume: most of them change what is written, not what is computed.
# Data is compared by its fingerprint instead: its folder may have moved.
MAY_CHANGE = (
    "data",
    "retrieval.database",  # its digest may not
    "tokenizer",
    "checkpoints",
    "anomalies",
    "parallel",
    "loop.validate_every",
    "loop.validate_batches",
    "loop.patience",
    "loop.log_every",
    "loop.tensorboard",
)


class InitialWeights(NamedTuple):
    """Where a run takes its first weights from, if not from its seed."""

    checkpoint: Path  # a checkpoint, or the folder of a run
    with_optimizer: bool = False  # the optimizer's moments as well


@dataclass
class Run:
    """A run in memory."""

    task: Task[Any]
    out: Path
    world: World
    hardware: Hardware
    model: nn.Module  # holds the weights
    module: nn.Module  # called for a forward pass: the model, or its distributed wrapper
    optimizer: torch.optim.Optimizer
    detector: SpikeDetector
    writer: CheckpointWriter
    step: int = 0
    tokens: int = 0
    learning_rate: float = 0.0
    loss: float = math.nan
    best: BestValidation | None = None

    @property
    def settings(self) -> TrainingSettings:
        return self.task.settings

    @property
    def configuration(self) -> dict[str, Any]:
        """All settings as JSON."""
        return self.settings.model_dump(mode="json")

    @property
    def replica(self) -> Replica:
        """The model as the task calls it."""
        return Replica(self.module, self.world, self.hardware.bf16, self.settings.parallel.defer_gradients)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.out / "checkpoints"


def open_run(task: Task[Any], out: Path, world: World, latest: Path | None = None) -> Run:
    """A run at step 0, with initial weights, in the precision of the checkpoint `latest` if there is one."""
    loop = task.settings.loop
    out.mkdir(parents=True, exist_ok=True)
    _configure_torch(loop)
    hardware = _agree_on_hardware(world, latest, loop.precision)
    model = task.build_model()
    if loop.activation_checkpointing:
        recompute_activations(model)
    if hardware.precision is Precision.FLOAT8:
        use_float8(blocks_of(model))
    module = parallelize(model, world, hardware.bf16)
    task.initialize(model)
    torch.manual_seed(loop.seed * 1_000_003 + world.rank)
    if loop.compile:
        for block in blocks_of(model):
            block.compile()
    optimizer = build_optimizer(model, task.settings.optimizer, bf16=hardware.bf16, compiled=loop.compile)
    detector = SpikeDetector(task.settings.anomalies)
    writer = CheckpointWriter(out / "checkpoints", task.settings.checkpoints, world)
    return Run(task, out, world, hardware, model, module, optimizer, detector, writer)


def _configure_torch(loop: LoopSettings) -> None:
    if loop.threads:
        torch.set_num_threads(loop.threads)
    if loop.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it, before its first product
    torch.use_deterministic_algorithms(loop.deterministic)


def _agree_on_hardware(world: World, latest: Path | None, requested: Precision) -> Hardware:
    """This rank's measurement, in the precision that the run began with; else in bf16 if every rank would choose it."""
    if requested is Precision.AUTO and latest is not None:
        requested = Precision(checkpoint.read_state(latest).precision)
    hardware = measure_hardware(world.device, requested)
    if hardware.precision is Precision.FLOAT8:
        return hardware
    agreed = Precision.BFLOAT16 if count_ranks(hardware.bf16, world) == world.size else Precision.FLOAT32
    return hardware._replace(precision=agreed)


def load_initial_weights(run: Run, start: InitialWeights) -> None:
    """Replace the initial weights with those of a checkpoint."""
    path = checkpoint.find_checkpoint(start.checkpoint)
    if difference := run.task.compare_texts(checkpoint.read_texts(path, run.task.texts)):
        raise CheckpointError(f"{path} cannot be the start of this run: it has {difference}")
    checkpoint.load_weights(path, run.model)
    if start.with_optimizer:
        checkpoint.load_optimizer(path, run.model, run.optimizer)


def resume_run(run: Run, path: Path, allow_changes: bool, log: Callable[[str], None]) -> None:
    """Set a run to the state of its checkpoint."""
    state = checkpoint.read_state(path)
    if not allow_changes:
        _check_unchanged(run, path, state)
    checkpoint.load_weights(path, run.model)
    checkpoint.load_optimizer(path, run.model, run.optimizer)
    if not checkpoint.load_generators(path, run.world) and run.world.is_main:
        log(f"{state.world} ranks wrote {path.name}, this run has {run.world.size}: equal data, other dropout")
    run.task, change = run.task.resume_at(state.step, state.data)
    run.step, run.tokens, run.learning_rate = state.step, state.tokens, state.learning_rate
    run.loss = state.losses[-1] if state.losses else math.nan
    run.best = state.best
    run.detector = SpikeDetector(run.settings.anomalies, state.losses, state.gradient_norms)
    if run.world.is_main:
        log(f"resuming from {path}")
        if change is not None:
            log(change)


def _check_unchanged(run: Run, path: Path, state: RunState) -> None:
    changes = _find_changed_settings(state.settings, run.configuration)
    if state.data["fingerprint"] != run.task.fingerprint:
        changes.append("the data (its files, weights, shares, seed or batches)")
    if difference := run.task.compare_texts(checkpoint.read_texts(path, run.task.texts)):
        changes.append(difference)
    if changes:
        raise CheckpointError(
            f"{path} was written with other settings: {'; '.join(changes)}. Restore them, choose another folder, "
            "or pass --allow-changes"
        )


def _find_changed_settings(before: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    """Settings that differ though they must not, with their path: `model.hidden_size 256 -> 512`."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        place = f"{path}{name}"
        a, b = before.get(name), now.get(name)
        if a == b or place in MAY_CHANGE:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            found += _find_changed_settings(a, b, f"{place}.")
        else:
            found.append(f"{place} {a} -> {b}")
    return found


def describe_run(run: Run, log: Callable[[str], None]) -> None:
    """Log what is about to run, and write run.json for the report."""
    hardware, workload = run.hardware, run.task.workload
    description = {
        "settings": run.configuration,
        **workload._asdict(),
        "ranks": run.world.size,
        "mesh": run.world.shape._asdict(),
        "hardware": hardware.name,
        "threads": hardware.threads,
        "peaks": hardware.peaks,
        "precision": hardware.precision.value,
        "data": run.task.fingerprint,
        "torch": torch.__version__,
        "started": _read_start(run) or time.time(),
        "command": describe_command(),
    }
    write_atomically(run.out / "run.json", json.dumps(description, indent=1) + "\n")
    peaks = ", ".join(f"{name} {peak / 1e9:,.0f}" for name, peak in hardware.peaks.items())
    log(f"{workload.parameters / 1e6:.1f}M parameters, {run.world.size} x {hardware.name}; GFLOP/s: {peaks}")
    if run.world.size > 1:
        axes = ", ".join(f"{axis} {ranks}" for axis, ranks in run.world.shape._asdict().items())
        log(f"mesh: {axes}")
    log(f"{hardware.precision.value}, {workload.tokens_per_step:,} tokens per step, {run.settings.loop.steps:,} steps")
    steps, schedule = run.settings.loop.steps, run.settings.schedule
    if schedule.warmup_steps >= steps:
        log(
            f"schedule.warmup_steps = {schedule.warmup_steps:,} and loop.steps = {steps:,}: the run ends in its "
            f"warm-up, at a learning rate of {learning_rate(steps - 1, steps, schedule):.2g} of "
            f"{schedule.learning_rate:.2g}; a tenth of the steps is usual"
        )


def _read_start(run: Run) -> float | None:
    """When the first process of a resumed run began, in seconds since 1970."""
    try:
        return float(json.loads((run.out / "run.json").read_text("utf-8"))["started"]) if run.step else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_run(run: Run) -> None:
    """Write a checkpoint, and delete those that are not to be kept. Called on every rank."""
    state = RunState(
        step=run.step,
        tokens=run.tokens,
        learning_rate=run.learning_rate,
        data={"fingerprint": run.task.fingerprint, **run.task.position(run.step)},
        settings=run.configuration,
        precision=run.hardware.precision.value,
        world=run.world.size,
        torch=torch.__version__,
        losses=tuple(run.detector.losses),
        gradient_norms=tuple(run.detector.norms),
        best=run.best,
    )
    run.writer.save(state, run.model, run.optimizer, run.task.texts)
