"""Run a task on this process, or as one rank of several, and write its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from trainer.errors import LockedError
from trainer.files import lock_run
from trainer.reports.run_record import record_run
from trainer.reports.run_report import write_run_report
from trainer.training.distributed import World, count_ranks, join_world
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

    How the run was made and how it ended is recorded in its folder, also where it fails. Raises LockedError, on all
    ranks, where another process trains in the folder.
    """
    with join_world(task.settings.parallel) as world, _hold_run(out, world):
        with record_run(out, task.settings, task.texts) if world.is_main else nullcontext():
            result = train(task, out, world, start=start, allow_changes=allow_changes, log=log)
        if world.is_main:
            log(f"report: {write_run_report(out)}")
        return result


@contextmanager
def _hold_run(out: Path, world: World) -> Iterator[None]:
    """The main rank locks the run's folder; where it cannot, every rank raises, so that none waits for it."""
    failure: Exception | None = None
    with ExitStack() as stack:
        if world.is_main:
            try:
                stack.enter_context(lock_run(out))
            except (LockedError, OSError) as error:
                failure = error
        if count_ranks(failure is not None, world):
            raise failure or LockedError(f"{out}: the main rank cannot lock it")
        yield
