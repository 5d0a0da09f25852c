"""A child process that runs the page stages, so that a page on which they crash or never end is the only one lost.

Extractors run C code on hostile input: they may loop for minutes, exhaust the memory or crash. The work is therefore
done in a child whose limits the kernel enforces, whatever the extractor does:

- CPU: an interval timer on the child's own CPU clock (`ITIMER_PROF`) ends it. It measures CPU and not wall time, so a
  loaded machine drops the same pages as an idle one.
- Wall time: a second, generous timer ends a child that only sleeps. The parent stops waiting a little later.
- Memory: `RLIMIT_AS`, set to what the child uses after loading its models plus the allowance. If the machine itself
  runs out of memory, the kernel kills the child before any other process (`oom_score_adj`).

When a child ends for another reason than its CPU budget, the page is run once more in a new child; if that one ends as
well, the page is lost. A child whose parent is gone ends by itself within about a second.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, Pipe
from typing import Any, Self

import psutil

from pipeline import effects
from pipeline.documents import Document, Dropped, Halfway, Page
from pipeline.errors import RunFailedError
from pipeline.page_process.settings import PageProcessSettings

NAME = "page_process"
_MEGABYTE = 1_000_000
_START_SECONDS = 600.0  # wall time for imports, lists and models on a slow disk
_GRACE_SECONDS = 10.0  # the parent waits this much longer than the child's own wall timer
_PAGES_PER_CHILD = 5_000  # lxml and trafilatura keep some memory of every page: a new child starts small
_PAGES_BETWEEN_MEMORY_CHECKS = 100
# Objects between two searches for garbage. A page makes tens of thousands that live as long as it: with Python's 700
# they were searched again and again, 5% of the CPU of a page.
_GARBAGE_THRESHOLD = 100_000
_PARENT_SECONDS = 1.0  # between two looks whether the parent still exists
_OUT_OF_MEMORY = 77  # exit code of a child that could not allocate memory
# One thread each: the pipeline is parallel by processes, and the CPU budget counts the time of all threads.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class PageProcessError(RunFailedError):
    """No child process can be started, or it ends before it is ready."""


class PageLostReason(StrEnum):
    """Why the page process gave no result for a page."""

    CPU_BUDGET = "cpu_budget"
    CRASHED = "crashed"  # it was killed, ran out of memory, slept past the wall limit or raised an exception


@dataclass(frozen=True, slots=True)
class PageLost:
    """What `KillableWorker.run` returns instead of a result. It has no measured time, so every run gives the same."""

    reason: PageLostReason
    cpu_budget: float  # CPU seconds that this page was allowed
    detail: str

    def as_drop(self, page: Page) -> Dropped:
        """The drop of `page` for the ledger."""
        threshold = self.cpu_budget if self.reason is PageLostReason.CPU_BUDGET else None
        return Dropped(page, NAME, self.reason, threshold=threshold, detail=self.detail)


class KillableWorker:
    """Calls `factory(*args)` once in a child process, and the function that it returns on each page.

    The child imports `factory` by name (the parent's `__main__` is not run again); `args` and the function's results
    must pickle. An exception of the factory is raised in the parent. One worker serves one thread at a time; a process
    may have several workers.
    """

    def __init__(
        self,
        factory: Callable[..., Callable[[Page], Any]],
        args: tuple[Any, ...] = (),
        settings: PageProcessSettings = PageProcessSettings(),  # noqa: B008 - frozen
        *,
        pages_per_child: int = _PAGES_PER_CHILD,
    ) -> None:
        self._factory, self._args, self._settings = factory, args, settings
        self._pages_per_child = pages_per_child
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the child now, so that a wrong configuration or a missing model is reported before the first page."""
        self._get_child()

    def close(self) -> None:
        """End the child; the next `run` starts another."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def run(self, page: Page | Document | Halfway) -> Any | PageLost:
        """The function's result for `page`, or why there is none. A document's budget is that of its page."""
        document = page.document if isinstance(page, Halfway) else page
        size = len(document.content) if isinstance(document, Page) else document.signals.get("html_bytes", 0.0)
        budget = self._settings.cpu_seconds + self._settings.cpu_seconds_per_mb * size / _MEGABYTE
        answer = self._run_once(page, budget)
        if isinstance(answer, _ChildExit) and answer.signal != signal.SIGPROF:
            answer = self._run_once(page, budget)  # an earlier page may have damaged the child: retry in a new one
        if not isinstance(answer, _ChildExit):
            return answer
        if answer.signal == signal.SIGPROF:
            return PageLost(PageLostReason.CPU_BUDGET, budget, f"more than {budget:.1f} s of CPU time")
        return PageLost(PageLostReason.CRASHED, budget, answer.describe())

    def _get_child(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._factory, self._args, self._settings.memory_bytes)
        return self._child

    def _run_once(self, page: Page | Document | Halfway, budget: float) -> Any | _ChildExit:
        child = self._get_child()
        try:
            answer = child.run(page, budget, self._settings.wall_seconds)
        except BaseException:  # also KeyboardInterrupt: the pipe may hold half a message
            self.close()
            raise
        if isinstance(answer, _ChildExit) or child.pages >= self._pages_per_child or child.has_grown():
            self.close()
        return answer


@dataclass(frozen=True, slots=True)
class _ChildExit:
    """How a child ended: `signal` is 0 if no signal ended it, `exit_code` is 0 if one did."""

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

    def __init__(self, factory: Callable[..., Any], args: tuple[Any, ...], memory_bytes: int) -> None:
        self._pipe, self._process = _start_process()
        self._memory_bytes = memory_bytes
        self.pages = 0
        try:
            self._initialize(factory, args)
        except BaseException:
            self.kill()
            raise
        self._status = psutil.Process(self._process.pid)
        self._warm_bytes = self._status.memory_info().rss

    def _initialize(self, factory: Callable[..., Any], args: tuple[Any, ...]) -> None:
        answer = self._exchange((factory, args, self._memory_bytes), _START_SECONDS)
        if isinstance(answer, _ChildExit):
            raise PageProcessError(f"the page process could not start: {answer.describe()}; its last output is above")
        if answer is not None:
            raise answer

    def run(self, page: Page | Document | Halfway, cpu_seconds: float, wall_seconds: float) -> Any | _ChildExit:
        self.pages += 1
        return self._exchange((page, cpu_seconds, wall_seconds), wall_seconds + _GRACE_SECONDS)

    def _exchange(self, message: object, wall_seconds: float) -> Any | _ChildExit:
        try:
            self._pipe.send(message)
            if not self._pipe.poll(wall_seconds):
                self._process.send_signal(signal.SIGALRM)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            return self._wait_for_exit()

    def _wait_for_exit(self) -> _ChildExit:
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # it was stopped, or it closed the pipe and goes on running
            self._process.kill()
            code = self._process.wait()
        return _ChildExit(max(0, -code), max(0, code))

    def has_grown(self) -> bool:
        """Whether the child keeps more than half of its memory allowance between pages."""
        if self.pages % _PAGES_BETWEEN_MEMORY_CHECKS:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(self._status.memory_info().rss > self._warm_bytes + self._memory_bytes / 2)
        return True

    def kill(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def _start_process() -> tuple[Connection, subprocess.Popen[bytes]]:
    """The parent's end of a pipe, and the process that serves at the other end."""
    try:
        ours, theirs = Pipe()
        with theirs:
            code = (
                f"from pipeline.page_process.killable_process import _serve; _serve({theirs.fileno()}, {os.getpid()})"
            )
            # -P: no import from a folder `pipeline` in the current directory.
            return ours, effects.start_process(
                [sys.executable, "-P", "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": _import_path()},
            )
    except OSError as error:
        raise PageProcessError(
            f"the page process could not start: {error.strerror or error}; free memory, or allow more processes and "
            "open files (ulimit -u, ulimit -n)"
        ) from error


def _import_path() -> str:
    """The parent's import path: the child imports the same modules, wherever the parent found them."""
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)


# --- the child's side ---


def _serve(descriptor: int, parent: int) -> None:
    """Build the function, then run it on page after page until the parent closes the pipe or is gone."""
    gc.disable()  # imports and models make no garbage: to search for it is a tenth of their CPU
    pipe = Connection(descriptor)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C interrupts the parent, which then kills this process
    for timer in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(timer, signal.SIG_DFL)  # the kernel ends this process, no Python code has to run
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    with contextlib.suppress(EOFError, ConnectionError):
        factory, args, memory_bytes = pipe.recv()
        try:
            function = factory(*args)
        except BaseException as error:
            _send_error(pipe, error)
            return
        # Modules, lists and models stay: searching them for garbage again and again was 2.5% of the CPU of a page.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        gc.enable()
        _limit_memory(memory_bytes)
        pipe.send(None)
        while True:
            pipe.send(_run(function, *pipe.recv()))


def _end_with_parent(parent: int) -> None:
    """Ends this process when its parent was killed: another child of it may keep the pipe open."""
    while os.getppid() == parent:
        effects.sleep(_PARENT_SECONDS)
    os._exit(0)


def _run(function: Callable[[Page], Any], page: Page, cpu_seconds: float, wall_seconds: float) -> Any:
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    try:
        return function(page)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:
        return PageLost(PageLostReason.CRASHED, cpu_seconds, f"{type(error).__name__}: {error}"[:1000])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _send_error(pipe: Connection, error: BaseException) -> None:
    try:
        pipe.send(error)
    except Exception:  # it does not pickle, but its text does
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _limit_memory(allowance: int) -> None:
    """Limit the address space to what is mapped now plus `allowance`, and let the kernel kill this process first."""
    status = psutil.Process()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = status.memory_info().vms + allowance
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    with contextlib.suppress(OSError):
        effects.prefer_to_be_killed()
