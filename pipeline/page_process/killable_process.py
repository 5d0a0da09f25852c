"""A child process that the page stages run in, so that one bad page costs that page and nothing else.

Extractors run C code on hostile input: they may loop for minutes, eat the memory or crash. Here the work is done in a
child whose limits are kept by the kernel, from outside the extractor, whatever it does:

- CPU: an interval timer on the child's own CPU clock (`ITIMER_PROF`) ends it. It is CPU and not wall time, so a loaded
  machine drops the same pages as an idle one.
- Wall: a second, generous timer ends a child that only sleeps; the parent also stops waiting a little later.
- Memory: `RLIMIT_AS`, set to what the warm child uses plus the allowance. The kernel's own killer prefers it too.

A child that dies of anything but its CPU budget gets the page once more, in a fresh process; then the page is lost.
It ends by itself when its parent is gone: a busy child by its timers, an idle one by the end of the pipe.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Self

import psutil

from pipeline.documents import Page

_MEGABYTE = 1_000_000
_START_SECONDS = 600.0  # wall time for imports, lists and models on a slow disk
_GRACE_SECONDS = 10.0  # the parent waits this much longer than the child's own wall timer
_PAGES_BETWEEN_MEMORY_CHECKS = 100
_OUT_OF_MEMORY = 77  # exit code of a child that could not allocate
# One thread each: the pipeline is parallel by processes, and the CPU budget counts the time of all threads.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Loss(StrEnum):
    """How a page was lost."""

    CPU_BUDGET = "cpu_budget"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Lost:
    """What `KillableWorker.run` answers instead of a result. Nothing in it is measured: every run says the same."""

    how: Loss
    cpu_budget: float  # seconds that this page was allowed
    detail: str


class KillableWorker:
    """Runs `factory(*args)` once in a child, and the function that it returns on each page.

    `factory` must be importable by name in the child (the parent's `__main__` is never run again), and `args` and the
    function's results must pickle. An exception of the factory is raised here, in the parent, as it is. Use one worker
    from one thread at a time; several workers may live in one process.
    """

    def __init__(
        self,
        factory: Callable[..., Callable[[Page], Any]],
        args: tuple[Any, ...] = (),
        *,
        cpu_seconds: float = 10.0,
        cpu_seconds_per_mb: float = 10.0,
        wall_seconds: float = 300.0,
        memory_bytes: int = 1_500_000_000,
        pages_per_child: int = 5_000,
    ) -> None:
        self._order = (factory, args)
        self._cpu_seconds, self._cpu_seconds_per_mb = cpu_seconds, cpu_seconds_per_mb
        self._wall_seconds, self._memory_bytes, self._pages_per_child = wall_seconds, memory_bytes, pages_per_child
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child now, so that a broken configuration or a missing model is reported before the first page."""
        self._running()

    def close(self) -> None:
        """End the child; the next `run` starts another."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def run(self, page: Page) -> Any | Lost:
        """The function's result for `page`, or how the page was lost."""
        budget = self._cpu_seconds + self._cpu_seconds_per_mb * len(page.content) / _MEGABYTE
        answer = self._try(page, budget)
        if isinstance(answer, _Death) and answer.signal != signal.SIGPROF:
            answer = self._try(page, budget)  # once more, in a fresh child: it may have died of its former pages
        if not isinstance(answer, _Death):
            return answer
        if answer.signal == signal.SIGPROF:
            return Lost(Loss.CPU_BUDGET, budget, f"more than {budget:.1f} s of CPU time")
        return Lost(Loss.CRASHED, budget, answer.describe())

    def _running(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._order, self._memory_bytes)
        return self._child

    def _try(self, page: Page, budget: float) -> Any:
        child = self._running()
        try:
            answer = child.ask(page, budget, self._wall_seconds)
        except BaseException:  # Ctrl-C among them: the pipe may hold half a message
            self.close()
            raise
        if isinstance(answer, _Death) or child.pages >= self._pages_per_child or child.has_grown():
            self.close()  # lxml and trafilatura keep some memory of every page: a new child starts small
        return answer


@dataclass(frozen=True, slots=True)
class _Death:
    """How a child ended; `signal` is 0 where it exited by itself."""

    signal: int
    exit_code: int

    def describe(self) -> str:
        if self.signal == signal.SIGALRM:
            return "the process slept past the wall limit"
        if self.signal:
            return f"the process was killed by {signal.Signals(self.signal).name}"
        if self.exit_code == _OUT_OF_MEMORY:
            return "out of memory"
        return f"the process ended with exit code {self.exit_code}"


class _Child:
    """The parent's side of one child process."""

    def __init__(self, order: tuple[Callable[..., Any], tuple[Any, ...]], memory_bytes: int) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            code = (
                f"from pipeline.page_process.killable_process import _serve; _serve({theirs.fileno()}, {os.getpid()})"
            )
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and constant code
                [sys.executable, "-P", "-c", code],  # -P: a folder named `pipeline` where the user stands is not ours
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": _import_path()},
            )
        self._memory_bytes = memory_bytes
        self.pages = 0
        try:
            self._prepare(order)
        except BaseException:
            self.kill()
            raise
        self._status = psutil.Process(self._process.pid)
        self._warm_bytes = self._status.memory_info().rss

    def _prepare(self, order: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        answer = self._exchange((order, self._memory_bytes), _START_SECONDS)
        if isinstance(answer, _Death):
            raise RuntimeError(f"the page process could not start: {answer.describe()}; its last lines are above")
        if answer is not None:
            raise answer

    def ask(self, page: Page, cpu_seconds: float, wall_seconds: float) -> Any | _Death:
        self.pages += 1
        return self._exchange((page, cpu_seconds, wall_seconds), wall_seconds + _GRACE_SECONDS)

    def _exchange(self, message: object, wall_seconds: float) -> Any | _Death:
        try:
            self._pipe.send(message)
            if not self._pipe.poll(wall_seconds):
                self._process.send_signal(signal.SIGALRM)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            return self._death()

    def _death(self) -> _Death:
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # stopped, or it closed the pipe and lives on
            self._process.kill()
            code = self._process.wait()
        return _Death(max(0, -code), max(0, code))

    def has_grown(self) -> bool:
        if self.pages % _PAGES_BETWEEN_MEMORY_CHECKS:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(self._status.memory_info().rss > self._warm_bytes + self._memory_bytes / 2)
        return True

    def kill(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def _import_path() -> str:
    """The parent's import path for the child: the same modules, wherever the parent has them from."""
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)


# --- the child's side ---


def _serve(descriptor: int, parent: int) -> None:
    """Build the function, then answer page after page until the parent closes the pipe or is gone."""
    pipe = Connection(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    for timer in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(timer, signal.SIG_DFL)  # the kernel ends us, no Python code is needed
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    with contextlib.suppress(EOFError, ConnectionError):
        (factory, args), memory_bytes = pipe.recv()
        try:
            function = factory(*args)
        except BaseException as error:
            _send_error(pipe, error)
            return
        _limit_memory(memory_bytes)
        pipe.send(None)
        while True:
            pipe.send(_answer(function, *_next_page(pipe, parent)))


def _next_page(pipe: Connection, parent: int) -> tuple[Page, float, float]:
    while not pipe.poll(5.0):
        if os.getppid() != parent:  # a fork of the parent may hold the pipe open after its death
            raise EOFError
    message: tuple[Page, float, float] = pipe.recv()
    return message


def _answer(function: Callable[[Page], Any], page: Page, cpu_seconds: float, wall_seconds: float) -> Any:
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    try:
        return function(page)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:
        return Lost(Loss.CRASHED, cpu_seconds, f"{type(error).__name__}: {error}"[:1000])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _send_error(pipe: Connection, error: BaseException) -> None:
    try:
        pipe.send(error)
    except Exception:  # it does not pickle: its text does
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _limit_memory(allowance: int) -> None:
    """Address space: what the warm process has mapped, plus the allowance. And the kernel's killer takes us first."""
    status = psutil.Process()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = status.memory_info().vms + allowance
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
