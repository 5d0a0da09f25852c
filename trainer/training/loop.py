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
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from trainer.data.batches import Batch, BatchSource
from trainer.model.size import count_flops_per_token
from trainer.reports.run_report import write_run_report
from trainer.tasks.denoising import denoising_inputs
from trainer.training import checkpoint
from trainer.training.anomalies import Action, Anomaly, TrainingStoppedError
from trainer.training.distributed import World, join_world, sum_over_ranks
from trainer.training.metrics import MetricsLog, domain_losses, worst_documents
from trainer.training.optimizer import clip_gradients, set_learning_rate
from trainer.training.run import PretrainSettings, Run, describe, open_run, resume, save
from trainer.training.schedule import learning_rate
from trainer.training.step import Gradient, Inputs, accumulate, causal_inputs, evaluate_loss


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    steps: int
    tokens: int
    loss: float  # of the last step, nats a token
    checkpoint: Path


@dataclass(frozen=True)
class PreparedStep:
    """One step's data on one rank, made while the step before computes."""

    batch: Batch
    documents: NDArray[Any]  # int64 [rows, S]


class StepResult(NamedTuple):
    """What one step showed."""

    gradient: Gradient
    norm: float  # of the gradient, before clipping
    anomaly: Anomaly | None
    domains: dict[str, list[float]]  # mean loss and tokens


def pretrain(
    settings: PretrainSettings,
    source: BatchSource,
    out: Path,
    *,
    validation: BatchSource | None = None,
    start: Path | None = None,
    moments: bool = False,
    configuration: dict[str, Any] | None = None,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> Result:
    """Train to the end, going on from the latest checkpoint in `out` if there is one.

    validation: batches whose loss is measured now and then.
    start: a checkpoint to take the first weights from; with `moments` the optimizer's memory too.
    configuration: what to store with each checkpoint, data and tokenizer included; the settings where it is None.
    allow_changes: go on though settings or data differ from the checkpoint's.
    """
    with join_world() as world:
        run = open_run(settings, source, out, world, configuration)
        if start is not None:
            checkpoint.load_weights(checkpoint.find(start), run.model)
            if moments:
                checkpoint.load_optimizer(checkpoint.find(start), run.model, run.optimizer)
        if checkpoint.checkpoints(run.folder):
            resume(run, checkpoint.find(run.folder), allow_changes, log)
        if world.is_main:
            describe(run, log)
        with MetricsLog(out, run.step, settings.loop.tensorboard) if world.is_main else _nothing() as metrics:
            _loop(run, metrics, validation, log)
        if world.is_main:
            log(f"report: {write_run_report(out)}")
        return Result(run.step, run.tokens, run.loss, checkpoint.find(run.folder))


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _loop(run: Run, metrics: MetricsLog | None, validation: BatchSource | None, log: Callable[[str], None]) -> None:
    steps = run.settings.loop.steps
    bar = tqdm(total=steps, initial=run.step, unit="step", disable=None if metrics is not None else True)
    with bar, ThreadPoolExecutor(1) as ahead, _termination() as terminated:
        next_step = ahead.submit(_prepare, run, run.step) if run.step < steps else None
        while next_step is not None:
            begin = time.perf_counter()
            prepared = next_step.result()
            next_step = ahead.submit(_prepare, run, run.step + 1) if run.step + 1 < steps else None
            result = _take_step(run, prepared)
            row = _row(run, result, time.perf_counter() - begin)
            stop = _any(terminated.is_set(), run.world)
            if validation is not None and (run.step % run.settings.loop.validate_every == 0 or run.step == steps):
                row["validation"] = _validate(run, validation)
            if metrics is not None:
                metrics.write(row)
                _tell(run, row, bar, log)
            if run.step % run.settings.checkpoints.every == 0 or run.step == steps or stop:
                save(run)
            if stop and run.step < steps:
                raise TrainingStoppedError(
                    f"asked to end at step {run.step}; the same command goes on from {run.folder}"
                )


def _prepare(run: Run, step: int) -> PreparedStep:
    batch = run.source.batch(step, run.world.rank, run.world.size)
    return PreparedStep(batch, run.source.token_documents(step, run.world.rank, run.world.size))


def _inputs(run: Run, batch: Batch, step: int) -> list[Inputs]:
    """This rank's micro-batches, as the model takes them."""
    objective, model = run.settings.objective, run.settings.model
    encoder = model.encoder_layers > 0
    rows = len(batch.inputs)
    micro_batch_size = run.settings.loop.micro_batch_size or rows
    parts = batch.split(micro_batch_size)
    if not objective.denoisers:
        return [causal_inputs(part) for part in parts]
    seed = (run.settings.loop.seed, step)
    first = run.world.rank * rows
    return [
        denoising_inputs(part, objective, model.vocab_size, encoder, seed, first + number * micro_batch_size)
        for number, part in enumerate(parts)
    ]


def _by_input_token(losses: list[Tensor], parts: list[Inputs], batch: Batch) -> tuple[Tensor, Tensor]:
    """Losses and whether they count, both [B, S]. Under denoising a row's mean stands for each of its tokens."""
    if all(part.shape[1] == batch.inputs.shape[1] for part in losses) and "prefix" not in parts[0]:
        return torch.cat(losses), batch.loss_mask
    pairs = zip(losses, parts, strict=True)
    means = [(loss * part["weights"]).sum(dim=1) / part["weights"].sum(dim=1) for loss, part in pairs]  # [B] each
    return torch.cat(means)[:, None].expand(batch.inputs.shape), torch.ones_like(batch.loss_mask)


def _take_step(run: Run, prepared: PreparedStep) -> StepResult:
    """Gradient, judgment, update. Every rank comes to the same judgment, because it sees the same sums."""
    settings = run.settings
    run.optimizer.zero_grad(set_to_none=True)
    parts = _inputs(run, prepared.batch, run.step)
    gradient = accumulate(run.module, parts, run.world, run.bf16, settings.model.experts)
    norm = clip_gradients(run.model, settings.optimizer.max_grad_norm)
    losses, counted = _by_input_token(gradient.token_losses, parts, prepared.batch)
    anomaly = run.detector.judge(gradient.loss, norm)
    if anomaly is not None:
        _report(run, prepared, losses, anomaly)
    if anomaly is None or anomaly.action is Action.REPORT:
        run.learning_rate = learning_rate(run.step, settings.loop.steps, settings.schedule)
        set_learning_rate(run.optimizer, run.learning_rate)
        run.optimizer.step()
    run.step += 1
    run.tokens += gradient.tokens
    run.loss = gradient.loss
    return StepResult(
        gradient, norm, anomaly, domain_losses(losses, counted, prepared.documents, run.source, run.world)
    )


def _report(run: Run, prepared: PreparedStep, losses: Tensor, anomaly: Anomaly) -> None:
    """Write the step's documents, the worst first; stop where the settings say so."""
    suffix = "" if run.world.is_main else f".{run.world.rank}"
    path = run.out / f"anomalies{suffix}.jsonl"
    documents = worst_documents(losses, prepared.documents, run.source, run.world)
    row = {"step": run.step + 1, "kind": anomaly.kind, "action": anomaly.action, "loss": _number(anomaly.loss)}
    row |= {"limit": _number(anomaly.limit), "documents": documents}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    if anomaly.action is Action.STOP:
        save(run)
        raise TrainingStoppedError(
            f"step {run.step + 1}: {anomaly.kind} (loss {anomaly.loss:.4g}, limit {anomaly.limit:.4g}). Its documents "
            f"are in {path}, the weights before it in {run.folder}. "
            f"To pass over it, go on with anomalies.{anomaly.kind} = skip"
        )


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def _row(run: Run, result: StepResult, seconds: float) -> dict[str, Any]:
    """One line of metrics.jsonl. Its `step` counts steps taken: 1 after the first."""
    read = run.source.settings.batch_size * run.source.settings.sequence_length
    flops = count_flops_per_token(run.settings.model, run.source.settings.sequence_length)
    row: dict[str, Any] = {
        "step": run.step,
        "tokens": run.tokens,
        "loss": _number(result.gradient.loss),
        "learning_rate": run.learning_rate,
        "gradient_norm": _number(result.norm),
        "seconds": seconds,
        "tokens_per_second": read / seconds,
        "mfu": read / seconds * flops / (run.hardware.peak * run.world.size),
        "domains": result.domains,
    }
    if result.anomaly is not None:
        row["anomaly"] = {"kind": result.anomaly.kind, "action": result.anomaly.action}
    if result.gradient.routing is not None:
        row["experts"] = {name: value.tolist() for name, value in result.gradient.routing._asdict().items()}
    return row


def _validate(run: Run, source: BatchSource) -> dict[str, Any]:
    """Mean loss of the first validation batches, and by domain."""
    sums: dict[str, list[float]] = {}
    for step in range(run.settings.loop.validate_batches):
        batch = source.batch(step, run.world.rank, run.world.size)
        parts = _inputs(run, batch, step)
        losses, counted = _by_input_token(evaluate_loss(run.module, parts, run.world, run.bf16), parts, batch)
        documents = source.token_documents(step, run.world.rank, run.world.size)
        for name, (mean, count) in domain_losses(losses, counted, documents, source, run.world).items():
            total = sums.setdefault(name, [0.0, 0.0])
            total[0] += mean * count
            total[1] += count
    whole = sum(total for total, _ in sums.values()) / sum(count for _, count in sums.values())
    return {"loss": whole, "domains": {name: [total / count, count] for name, (total, count) in sums.items()}}


def _tell(run: Run, row: dict[str, Any], bar: Any, log: Callable[[str], None]) -> None:
    """The progress bar where there is a terminal; a line now and then where there is none."""
    bar.update()
    loss = "none" if row["loss"] is None else f"{row['loss']:.3f}"
    text = f"loss {loss} rate {row['learning_rate']:.2e} {row['tokens_per_second']:,.0f} tokens/s"
    bar.set_postfix_str(text)
    if validation := row.get("validation"):
        log(f"step {run.step}: validation loss {validation['loss']:.4f}")
    elif bar.disable and (run.step % run.settings.loop.log_every == 0 or run.step == run.settings.loop.steps):
        log(f"step {run.step:,} of {run.settings.loop.steps:,}: {text}, MFU {row['mfu']:.0%}")


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
