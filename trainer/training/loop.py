"""The training loop: takes a task; writes metrics, checkpoints and a model. One process or many run the same code.

Step s reads the task's data of step s, so the position in the data is the number of the step. A run that finds a
checkpoint in its folder resumes from it, bitwise as if it had never been interrupted (same machine, same number of
ranks and threads).
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from trainer.errors import StoppedBySignalError, TrainingStoppedError
from trainer.files import explain_writes
from trainer.training import checkpoint
from trainer.training.anomalies import Anomaly, AnomalyAction
from trainer.training.checkpoint import BestValidation
from trainer.training.distributed import World, count_ranks
from trainer.training.metrics import MetricsLog
from trainer.training.optimizer import clip_gradients, set_learning_rate
from trainer.training.run import InitialWeights, Run, describe_run, load_initial_weights, open_run, resume_run, save_run
from trainer.training.schedule import learning_rate
from trainer.training.task import StepGradient, Task

_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass(frozen=True)
class TrainingResult:
    """A finished run."""

    steps: int
    tokens: int
    loss: float  # of the last step, in nats per token
    checkpoint: Path


class StepResult(NamedTuple):
    """One step taken."""

    gradient: StepGradient
    norm: float  # of the gradient, before clipping
    anomaly: Anomaly | None


def train(
    task: Task[Any],
    out: Path,
    world: World,
    *,
    start: InitialWeights | None = None,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Train to the last step, resuming from the latest checkpoint in `out` if there is one.

    allow_changes: resume though settings or data differ from the checkpoint's.
    """
    latest = checkpoint.find_intact_checkpoint(out / "checkpoints", world, log)
    run = open_run(task, out, world, latest)
    if start is not None:
        load_initial_weights(run, start)
    if latest is not None:
        resume_run(run, latest, allow_changes, log)
    if world.is_main:
        describe_run(run, log)
    log_file = MetricsLog(out, run.step, task.settings.loop.tensorboard) if world.is_main else _no_metrics()
    with log_file as metrics, run.writer:
        _run_steps(run, metrics, log)
    return TrainingResult(run.step, run.tokens, run.loss, checkpoint.find_checkpoint(run.checkpoints))


@contextmanager
def _no_metrics() -> Iterator[None]:
    yield None


def _run_steps(run: Run, metrics: MetricsLog | None, log: Callable[[str], None]) -> None:
    """Take the remaining steps; `metrics` is None on all ranks but the main one."""
    steps = run.settings.loop.steps
    bar = tqdm(total=steps, initial=run.step, unit="step", disable=None if metrics is not None else True)
    data = _prepare_steps(run.task, run.world, range(run.step, run.step if _is_exhausted(run) else steps))
    row: dict[str, Any] = {}
    before = run.task.validate(run.replica) if run.step == 0 else None
    with bar, closing(data), _catch_signals() as signals:
        begin = time.perf_counter()
        for prepared in data:
            result = _take_step(run, prepared)
            row = _metrics_row(run, result, time.perf_counter() - begin)
            stop = count_ranks(bool(signals), run.world) > 0
            row |= _validate_if_due(run) | ({"before": before} if run.step == 1 and before is not None else {})
            improved, exhausted = _note_validation(run, row.get("validation")), _is_exhausted(run)
            save = run.step % run.settings.checkpoints.every == 0 or run.step == steps or stop or exhausted
            save |= improved and run.settings.checkpoints.keep_best
            if metrics is not None:
                metrics.write(row)
                if save:
                    metrics.sync()
            if save:
                save_run(run)
            if metrics is not None:
                _show_progress(run, row, bar, log)  # after the checkpoint: a terminal that is gone fails
            if stop and run.step < steps:
                raise StoppedBySignalError(
                    f"stopped by a signal at step {run.step}; the same command resumes from {run.checkpoints}",
                    *signals[:1],  # none where another rank was asked to stop
                )
            if exhausted:
                break
            begin = time.perf_counter()
        if before is not None and metrics is not None and (after := row.get("validation")):
            log(f"{_describe_validation(before)} before training, {_describe_validation(after)} after")
    if metrics is not None and run.best is not None and run.best.step < run.step:
        _describe_best(run, run.best, log)


def _describe_validation(validation: dict[str, Any]) -> str:
    bits = f" ({validation['bits_per_byte']:.3f} bits per byte)" if "bits_per_byte" in validation else ""
    return f"validation loss {validation['loss']:.4f}{bits}"


def _note_validation(run: Run, validation: dict[str, Any] | None) -> bool:
    """Keep the lowest validation loss and how long ago it was; True if this one is it. All ranks decide alike."""
    if validation is None:
        return False
    loss = float(validation["loss"])
    lower = math.isfinite(loss) and (run.best is None or loss < run.best.loss)
    if count_ranks(lower, run.world) == run.world.size:
        run.best = BestValidation(step=run.step, loss=loss)
        return True
    if run.best is not None:
        run.best = run.best.model_copy(update={"waited": run.best.waited + 1})
    return False


def _is_exhausted(run: Run) -> bool:
    """Whether the run ends because its validation loss does not fall any more."""
    patience = run.settings.loop.patience
    return patience is not None and run.best is not None and run.best.waited >= patience


def _describe_best(run: Run, best: BestValidation, log: Callable[[str], None]) -> None:
    early = f"ended at step {run.step:,}: {best.waited} validations without a lower loss; " * _is_exhausted(run)
    used = "; that checkpoint is used" * run.settings.checkpoints.keep_best
    log(f"{early}the lowest validation loss was {best.loss:.4f} at step {best.step:,}{used}")


def _prepare_steps(task: Task[Any], world: World, steps: range) -> Generator[Any]:
    """The data of each step; the next one is prepared in a thread meanwhile, if the task allows it."""
    if not task.prefetches:
        for step in steps:
            yield task.prepare(step, world)
        return
    with ThreadPoolExecutor(1) as thread:
        futures = (thread.submit(task.prepare, step, world) for step in steps)
        next_step = next(futures, None)
        while next_step is not None:
            prepared = next_step.result()
            next_step = next(futures, None)
            yield prepared


def _take_step(run: Run, prepared: Any) -> StepResult:
    """Gradient, check for anomalies, update. All ranks decide equally: loss and norm are sums over ranks."""
    settings = run.settings
    run.optimizer.zero_grad(set_to_none=True)
    gradient = run.task.add_gradient(prepared, run.replica)
    norm = clip_gradients(run.model, settings.optimizer.max_grad_norm)
    anomaly = run.detector.judge(gradient.loss, norm)
    if anomaly is not None:
        _report(run, gradient, anomaly)
    if anomaly is None or anomaly.action is AnomalyAction.REPORT:
        run.learning_rate = learning_rate(run.step, settings.loop.steps, settings.schedule)
        set_learning_rate(run.optimizer, run.learning_rate)
        run.optimizer.step()
    run.step += 1
    run.tokens += gradient.tokens
    run.loss = gradient.loss
    return StepResult(gradient, norm, anomaly)


def _report(run: Run, gradient: StepGradient, anomaly: Anomaly) -> None:
    """Write the step's examples to anomalies.jsonl, the worst first; end the run if the settings say so."""
    suffix = "" if run.world.is_main else f".{run.world.rank}"
    path = run.out / f"anomalies{suffix}.jsonl"
    row = {"step": run.step + 1, "kind": anomaly.kind, "action": anomaly.action, "loss": _finite_or_none(anomaly.loss)}
    row |= {"gradient_norm": _finite_or_none(anomaly.gradient_norm), "limit": _finite_or_none(anomaly.limit)}
    row["documents"] = gradient.worst_examples()
    with explain_writes(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    if anomaly.action is AnomalyAction.STOP:
        save_run(run)
        raise TrainingStoppedError(
            f"step {run.step + 1}: {anomaly.kind} (loss {anomaly.loss:.4g}, gradient norm {anomaly.gradient_norm:.4g}, "
            f"limit {anomaly.limit:.4g}). Its documents are in {path}, the weights before it in {run.checkpoints}. "
            f"To skip it, resume with anomalies.{anomaly.kind} = skip"
        )


def _finite_or_none(value: float) -> float | None:
    """The value, or None if it is infinite or NaN, which JSON lacks."""
    return value if math.isfinite(value) else None


def _metrics_row(run: Run, result: StepResult, seconds: float) -> dict[str, Any]:
    """One line of metrics.jsonl. Its `step` counts steps taken: 1 after the first."""
    gradient = result.gradient
    rate = gradient.tokens_read / seconds
    row: dict[str, Any] = {
        "step": run.step,
        "tokens": run.tokens,
        "loss": _finite_or_none(gradient.loss),
        "learning_rate": run.learning_rate,
        "gradient_norm": _finite_or_none(result.norm),
        "seconds": seconds,
        "tokens_per_second": rate,
        "mfu": rate * run.task.workload.flops_per_token / (run.hardware.peak * run.world.size),
        **gradient.numbers,
    }
    if result.anomaly is not None:
        row["anomaly"] = {"kind": result.anomaly.kind, "action": result.anomaly.action}
    return row


def _show_progress(run: Run, row: dict[str, Any], bar: Any, log: Callable[[str], None]) -> None:
    """Advance the progress bar on a terminal; elsewhere log a line every few steps."""
    bar.update()
    loss = "none" if row["loss"] is None else f"{row['loss']:.3f}"
    text = f"loss {loss} rate {row['learning_rate']:.2e} {row['tokens_per_second']:,.0f} tokens/s"
    bar.set_postfix_str(text)
    if validation := row.get("validation"):
        log(f"step {run.step}: {_describe_validation(validation)}")
    elif bar.disable and (run.step % run.settings.loop.log_every == 0 or run.step == run.settings.loop.steps):
        log(f"step {run.step:,} of {run.settings.loop.steps:,}: {text}, MFU {row['mfu']:.0%}")


def _validate_if_due(run: Run) -> dict[str, Any]:
    """`validation` for metrics.jsonl every few steps and after the last one, if there is validation data."""
    if run.step % run.settings.loop.validate_every and run.step < run.settings.loop.steps:
        return {}
    validation = run.task.validate(run.replica)
    return {} if validation is None else {"validation": validation}


@contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """Gets SIGTERM, SIGHUP or Ctrl-C when it comes: the loop then saves after the current step and ends (preemption).

    Signals that are ignored stay so (nohup).
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: object) -> None:
        if received and number != signal.SIGHUP:  # which the kernel and the shell both send when a terminal is closed
            restore()
            signal.raise_signal(number)  # the second signal ends the process at once
        received.append(number)

    caught = (number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN)
    before = {number: signal.signal(number, note) for number in caught}
    try:
        yield received
    finally:
        restore()
