"""The training loop: batches in; metrics, checkpoints and a model out. The same function on one process and on many.

Step s reads batch(s), so the position in the data is the step's number. A run that finds a checkpoint in its folder
goes on from it, bitwise as if it had never been interrupted (same machine, same number of ranks and threads).
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from tqdm import tqdm

from trainer import checkpoint
from trainer.anomalies import Action, Anomaly, AnomalySettings, SpikeDetector, TrainingStoppedError
from trainer.batches import Batch, BatchSource
from trainer.checkpoint import CheckpointSettings, State
from trainer.distributed import Parallel, World, join_world, spread, sum_over_ranks
from trainer.hardware import Hardware, Precision, measure_hardware
from trainer.metrics import MetricsLog, domain_losses, token_documents, worst_documents
from trainer.model import Decoder, ModelSettings, initialise
from trainer.optimiser import OptimiserSettings, build_optimiser, clip_gradients, set_learning_rate
from trainer.schedule import ScheduleSettings, learning_rate
from trainer.settings import Settings
from trainer.step import Gradient, Inputs, accumulate, causal_inputs, evaluate_loss


class LoopSettings(Settings):
    """How long, how split, how fast."""

    steps: int = Field(default=1000, ge=1)
    seed: int = 0  # of the first weights and of dropout
    micro_rows: int | None = Field(default=None, ge=1)  # rows of one forward pass on one rank; None: all of the rank's
    precision: Precision = Precision.AUTO
    compile: bool = False  # torch.compile, block by block: minutes at the start, faster steps on GPUs
    recompute: bool = False  # activation checkpointing: a third more compute, memory of one block's activations
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
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    loop: LoopSettings = LoopSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    anomalies: AnomalySettings = AnomalySettings()


# Settings that may change between a checkpoint and its resume: they steer what is written, not what is computed.
FREE = (
    "checkpoints",
    "anomalies",
    "loop.validate_every",
    "loop.validate_batches",
    "loop.log_every",
    "loop.tensorboard",
)


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    steps: int
    tokens: int
    loss: float  # of the last step, nats a token
    checkpoint: Path


@dataclass
class Run:
    """A run in memory."""

    settings: PretrainSettings
    source: BatchSource
    out: Path
    world: World
    hardware: Hardware
    model: Decoder  # owns the weights
    module: nn.Module  # what is called: the model, or its distributed wrapper
    optimiser: torch.optim.Optimizer
    detector: SpikeDetector
    configuration: dict[str, Any]  # the whole of it, for the checkpoint
    step: int = 0
    tokens: int = 0
    rate: float = 0.0
    loss: float = math.nan

    @property
    def half(self) -> bool:
        return self.hardware.precision is Precision.BFLOAT16

    @property
    def folder(self) -> Path:
        """Of the checkpoints."""
        return self.out / "checkpoints"


@dataclass(frozen=True)
class Prepared:
    """One step's data on one rank, made while the step before computes."""

    batch: Batch
    documents: NDArray[Any]  # int64 [rows, S]


def pretrain(
    settings: PretrainSettings,
    source: BatchSource,
    out: Path,
    *,
    validation: BatchSource | None = None,
    start: Path | None = None,
    configuration: dict[str, Any] | None = None,
    allow_changes: bool = False,
    say: Callable[[str], None] = tqdm.write,
) -> Result:
    """Train to the end, going on from the latest checkpoint in `out` if there is one.

    validation: batches whose loss is measured now and then.
    start: a checkpoint to take the first weights from (and nothing else).
    configuration: what to store with each checkpoint, data and tokenizer included; the settings where it is None.
    allow_changes: go on though settings or data differ from the checkpoint's.
    """
    with join_world() as world:
        run = _open(settings, source, out, world, configuration)
        if start is not None:
            checkpoint.load_weights(checkpoint.find(start), run.model)
        if checkpoint.checkpoints(run.folder):
            _resume(run, checkpoint.find(run.folder), allow_changes, say)
        if world.leads:
            _describe(run, say)
        with MetricsLog(out, run.step, settings.loop.tensorboard) if world.leads else _nothing() as log:
            _loop(run, log, validation, say)
        return Result(run.step, run.tokens, run.loss, checkpoint.find(run.folder))


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _open(
    settings: PretrainSettings, source: BatchSource, out: Path, world: World, configuration: dict[str, Any] | None
) -> Run:
    """A run at step 0."""
    loop = settings.loop
    if loop.threads:
        torch.set_num_threads(loop.threads)
    torch.use_deterministic_algorithms(loop.deterministic)
    if source.settings.sequence > settings.model.context:
        raise ValueError(
            f"data.sequence = {source.settings.sequence} is longer than model.context = {settings.model.context}"
        )
    out.mkdir(parents=True, exist_ok=True)
    hardware = measure_hardware(world.device, _agreed_precision(out, loop.precision))
    with torch.device("meta"):
        model = Decoder(settings.model)
    module = spread(model, world, loop.parallel, hardware.precision is Precision.BFLOAT16)
    initialise(model, loop.seed, settings.model.deviation, settings.model.layers)
    torch.manual_seed(loop.seed * 1_000_003 + world.rank)
    model.recompute = loop.recompute
    if loop.compile:
        for block in model.blocks:
            block.compile()
    return Run(
        settings=settings,
        source=source,
        out=out,
        world=world,
        hardware=hardware,
        model=model,
        module=module,
        optimiser=build_optimiser(model, settings.optimiser),
        detector=SpikeDetector(settings.anomalies),
        configuration=configuration or settings.model_dump(mode="json"),
    )


def _agreed_precision(out: Path, wanted: Precision) -> Precision:
    """The precision that this run began with: a measurement of today must not change it half-way."""
    if wanted is Precision.AUTO and checkpoint.checkpoints(out / "checkpoints"):
        return Precision(checkpoint.read_state(checkpoint.find(out)).precision)
    return wanted


def _resume(run: Run, path: Path, allow_changes: bool, say: Callable[[str], None]) -> None:
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
    checkpoint.load_optimiser(path, run.model, run.optimiser)
    if not checkpoint.load_generators(path, run.world) and run.world.leads:
        say(f"{state.world} ranks wrote {path.name}, {run.world.size} go on: same data, fresh dropout")
    run.step, run.tokens, run.rate = state.step, state.tokens, state.learning_rate
    run.loss = state.losses[-1] if state.losses else math.nan
    run.detector = SpikeDetector(run.settings.anomalies, state.losses)
    if run.world.leads:
        say(f"going on from {path}")


def _changes(before: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    """Settings that differ, by path, but for those that may: `model.width 256 -> 512`."""
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


def _describe(run: Run, say: Callable[[str], None]) -> None:
    """Say what is about to run, and leave it in run.json for the report."""
    settings, hardware = run.settings, run.hardware
    facts = {
        "settings": run.configuration,
        "parameters": settings.model.parameters(),
        "active_parameters": settings.model.parameters(active=True),
        "flops_per_token": settings.model.flops_per_token(run.source.settings.sequence),
        "tokens_per_step": run.source.settings.rows * run.source.settings.sequence,
        "ranks": run.world.size,
        "hardware": hardware.name,
        "threads": hardware.threads,
        "peaks": hardware.peaks,
        "precision": hardware.precision.value,
        "domains": list(run.source.corpus.domains),
        "data": run.source.fingerprint,
        "torch": torch.__version__,
    }
    checkpoint.write_atomically(run.out / "run.json", json.dumps(facts, indent=1) + "\n")
    rates = ", ".join(f"{name} {peak / 1e9:,.0f}" for name, peak in hardware.peaks.items())
    say(f"{settings.model.parameters() / 1e6:.1f}M parameters, {run.world.size} x {hardware.name}; GFLOP/s: {rates}")
    say(f"{hardware.precision.value}, {facts['tokens_per_step']:,} tokens a step, {settings.loop.steps:,} steps")


def _loop(run: Run, log: MetricsLog | None, validation: BatchSource | None, say: Callable[[str], None]) -> None:
    steps = run.settings.loop.steps
    bar = tqdm(total=steps, initial=run.step, unit="step", disable=None if log is not None else True)
    with bar, ThreadPoolExecutor(1) as ahead, _termination() as terminated:
        coming = ahead.submit(_prepare, run, run.step) if run.step < steps else None
        while coming is not None:
            begin = time.perf_counter()
            prepared = coming.result()
            coming = ahead.submit(_prepare, run, run.step + 1) if run.step + 1 < steps else None
            gradient, norm, anomaly = _take_step(run, prepared)
            row = _row(run, prepared, gradient, norm, anomaly, time.perf_counter() - begin)
            stop = _any(terminated.is_set(), run.world)
            if validation is not None and (run.step % run.settings.loop.validate_every == 0 or run.step == steps):
                row["validation"] = _validate(run, validation)
            if log is not None:
                log.write(row)
                _tell(run, row, bar, say)
            if run.step % run.settings.checkpoints.every == 0 or run.step == steps or stop:
                _save(run)
            if stop and run.step < steps:
                raise TrainingStoppedError(
                    f"asked to end at step {run.step}; the same command goes on from {run.folder}"
                )


def _prepare(run: Run, step: int) -> Prepared:
    batch = run.source.batch(step, run.world.rank, run.world.size)
    return Prepared(batch, token_documents(run.source, step, run.world.rank, run.world.size))


def _inputs(batch: Batch, micro_rows: int | None) -> list[Inputs]:
    return [causal_inputs(part) for part in batch.split(micro_rows or len(batch.inputs))]


def _take_step(run: Run, prepared: Prepared) -> tuple[Gradient, float, Anomaly | None]:
    """Gradient, judgement, update. Every rank comes to the same judgement, because it sees the same sums."""
    settings = run.settings
    run.optimiser.zero_grad(set_to_none=True)
    parts = _inputs(prepared.batch, settings.loop.micro_rows)
    gradient = accumulate(run.module, parts, run.world, run.half, settings.model.experts)
    norm = clip_gradients(run.model, settings.optimiser.clip)
    anomaly = run.detector.judge(gradient.loss, norm)
    if anomaly is not None:
        _report(run, prepared, gradient, anomaly)
    if anomaly is None or anomaly.action is Action.REPORT:
        run.rate = learning_rate(run.step, settings.loop.steps, settings.schedule)
        set_learning_rate(run.optimiser, run.rate)
        run.optimiser.step()
        run.loss = gradient.loss
    run.step += 1
    run.tokens += gradient.tokens
    return gradient, norm, anomaly


def _report(run: Run, prepared: Prepared, gradient: Gradient, anomaly: Anomaly) -> None:
    """Write the step's documents, the worst first; stop where the settings say so."""
    suffix = "" if run.world.leads else f".{run.world.rank}"
    path = run.out / f"anomalies{suffix}.jsonl"
    documents = worst_documents(gradient.token_losses, prepared.documents, run.source, run.world)
    row = {"step": run.step, "kind": anomaly.kind, "action": anomaly.action, "loss": _number(anomaly.loss)}
    row |= {"limit": _number(anomaly.limit), "documents": documents}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    if anomaly.action is Action.STOP:
        _save(run)
        raise TrainingStoppedError(
            f"step {run.step}: {anomaly.kind} (loss {anomaly.loss:.4g}, limit {anomaly.limit:.4g}). Its documents are "
            f"in {path}; the weights before the step in {run.folder}. To pass over it set anomalies.{anomaly.kind} = skip"
        )


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def _row(
    run: Run, prepared: Prepared, gradient: Gradient, norm: float, anomaly: Anomaly | None, seconds: float
) -> dict[str, Any]:
    """One line of metrics.jsonl. Its `step` counts steps taken: 1 after the first."""
    rate = gradient.tokens / seconds
    flops = run.settings.model.flops_per_token(run.source.settings.sequence)
    row: dict[str, Any] = {
        "step": run.step,
        "tokens": run.tokens,
        "loss": _number(gradient.loss),
        "learning_rate": run.rate,
        "gradient_norm": _number(norm),
        "seconds": seconds,
        "tokens_per_second": rate,
        "mfu": rate * flops / (run.hardware.peak * run.world.size),
    }
    losses = gradient.token_losses
    row["domains"] = domain_losses(losses, prepared.batch.loss_mask, prepared.documents, run.source, run.world)
    if anomaly is not None:
        row["anomaly"] = {"kind": anomaly.kind, "action": anomaly.action}
    if gradient.routing is not None:
        row["experts"] = {name: value.tolist() for name, value in gradient.routing._asdict().items()}
    return row


def _validate(run: Run, source: BatchSource) -> dict[str, Any]:
    """Mean loss of the first validation batches, and by domain."""
    sums: dict[str, list[float]] = {}
    for step in range(run.settings.loop.validate_batches):
        batch = source.batch(step, run.world.rank, run.world.size)
        losses = torch.cat(evaluate_loss(run.module, _inputs(batch, run.settings.loop.micro_rows), run.world, run.half))
        documents = token_documents(source, step, run.world.rank, run.world.size)
        for name, (mean, count) in domain_losses(losses, batch.loss_mask, documents, source, run.world).items():
            total = sums.setdefault(name, [0.0, 0.0])
            total[0] += mean * count
            total[1] += count
    whole = sum(total for total, _ in sums.values()) / sum(count for _, count in sums.values())
    return {"loss": whole, "domains": {name: [total / count, count] for name, (total, count) in sums.items()}}


def _tell(run: Run, row: dict[str, Any], bar: Any, say: Callable[[str], None]) -> None:
    """The progress bar where there is a terminal; a line now and then where there is none."""
    bar.update()
    loss = "none" if row["loss"] is None else f"{row['loss']:.3f}"
    text = f"loss {loss} rate {row['learning_rate']:.2e} {row['tokens_per_second']:,.0f} tokens/s"
    bar.set_postfix_str(text)
    if validation := row.get("validation"):
        say(f"step {run.step}: validation loss {validation['loss']:.4f}")
    elif bar.disable and (run.step % run.settings.loop.log_every == 0 or run.step == run.settings.loop.steps):
        say(f"step {run.step:,} of {run.settings.loop.steps:,}: {text}, MFU {row['mfu']:.0%}")


def _save(run: Run) -> None:
    state = State(
        step=run.step,
        tokens=run.tokens,
        learning_rate=run.rate,
        data={"fingerprint": run.source.fingerprint, "next_batch": run.step},
        settings=run.configuration,
        precision=run.hardware.precision.value,
        world=run.world.size,
        torch=torch.__version__,
        losses=tuple(run.detector.losses),
    )
    checkpoint.save(run.folder, state, run.model, run.optimiser, run.world)
    if run.world.leads:
        checkpoint.prune(run.folder, run.settings.checkpoints)


def _any(flag: bool, world: World) -> bool:
    """Whether any rank says so."""
    return flag if world.size == 1 else bool(sum_over_ranks(torch.tensor(float(flag), device=world.device), world))


@contextmanager
def _termination() -> Iterator[threading.Event]:
    """Set on SIGTERM or Ctrl-C: the loop then ends after the step it is in, with a checkpoint (preempted machines)."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def ask(number: int, frame: object) -> None:
        if event.is_set():  # asked twice: they mean it
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def load_model(path: Path, device: torch.device | str = "cpu") -> Decoder:
    """The model of a checkpoint or a run, ready to use."""
    found = checkpoint.find(path)
    settings = ModelSettings.model_validate(checkpoint.read_state(found).settings["model"])
    with torch.device("meta"):
        model = Decoder(settings)
    model.to_empty(device=device)
    checkpoint.load_weights(found, model)
    return model.eval()
