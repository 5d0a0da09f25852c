"""Run a task on this process, or as one rank of several, and write its report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from trainer.reports.run_record import record_run
from trainer.reports.run_report import write_run_report
from trainer.training.distributed import join_world
from trainer.training.loop import TrainingResult, train
from trainer.training.run import InitialWeights
from trainer.training.task import Task


def launch(
    task: Task[Any],
    out: Path,
    *,
    start: InitialWeights | None = None,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Train to the last step, then write OUT/report.html; the arguments are those of `train`.

    How the run was made and how it ended is recorded in its folder, also where it fails.
    """
    with join_world(task.settings.parallel) as world:
        with record_run(out, task.settings, task.texts) if world.is_main else nullcontext():
            result = train(task, out, world, start=start, allow_changes=allow_changes, log=log)
        if world.is_main:
            log(f"report: {write_run_report(out)}")
        return result
