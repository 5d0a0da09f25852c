"""Stop this process at once from any thread: when a signal asks for it, or when another process took its output over.

Beam's local runner works in threads of this process that cannot be cancelled: an exception in the main thread would
wait until all units are done. All files are written atomically and finished work is skipped, so it may end anywhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

from pipeline import effects
from pipeline.errors import STOPPED

CLEANUP_SECONDS = 2.0  # for one cleanup, such as the removal of a lease from an object store
Cleanup = Callable[[str, int], object]  # called with the message and the exit code of the stop
_cleanups: dict[object, tuple[Cleanup, float]] = {}
_stopping = threading.Lock()


@contextmanager
def cleanup_at_stop(action: Cleanup, seconds: float = CLEANUP_SECONDS) -> Iterator[None]:
    """Calls `action` if the process is stopped while the block runs, and waits for it for `seconds` at most."""
    key = object()
    _cleanups[key] = action, seconds
    try:
        yield
    finally:
        _cleanups.pop(key, None)


def stop_process(message: str, code: int) -> NoReturn:
    """Prints one line, halts all threads, kills all children, runs the cleanups and ends with the exit code."""
    _stopping.acquire()  # never released: a second call waits for the end
    with contextlib.suppress(OSError):  # not through sys.stderr, whose lock another thread may hold
        os.write(2, f"{'' if not sys.stderr.isatty() else chr(10)}gristmill: {message}\n".encode())
    effects.halt(lambda: isinstance(threading.current_thread(), _Cleanup))
    cleanups = list(_cleanups.values())  # before a thread that loses its child leaves its blocks
    _kill_children()  # first: a cleanup may take seconds, in which pages would use the machine
    _run_cleanups(cleanups, message, code)
    _kill_children()  # what a cleanup started and did not wait for
    os._exit(code)


def wait_if_stopping() -> None:
    """Waits for the end of the process if it is being stopped: what fails meanwhile fails for want of its children."""
    if _stopping.locked():
        threading.Event().wait()


class _Cleanup(threading.Thread):
    """A thread that acts on the world while all others are halted: the output may be another process's already."""

    def __init__(self, action: Cleanup, message: str, code: int) -> None:
        super().__init__(daemon=True)
        self.call = partial(action, message, code)

    def run(self) -> None:
        with contextlib.suppress(Exception):
            self.call()


def _run_cleanups(cleanups: Sequence[tuple[Cleanup, float]], message: str, code: int) -> None:
    """One after the other, those of outer blocks first, so that the lease is held until all others are done."""
    for action, seconds in cleanups:
        thread = _Cleanup(action, message, code)
        thread.start()
        thread.join(seconds)


def _kill_children() -> None:
    try:
        import psutil
    except ModuleNotFoundError:  # the trainer alone is installed
        return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()


def stop_on_signals(hint: str = "", numbers: Iterable[signal.Signals] = STOPPED) -> None:
    """From now on SIGINT (Ctrl-C), SIGTERM and SIGHUP stop the process, unless they were ignored when it started.

    `hint` ends the line that is printed. Called in the main thread. A thread reads the signals from a pipe, because
    Python runs signal handlers only between two steps of the main thread, which may be inside a library for seconds.
    While a signal has another handler, as in the training loop, that one alone decides.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in numbers:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a background job of a shell
            signal.signal(number, _leave_to_thread)
    threading.Thread(target=_watch, args=(reading, hint), daemon=True, name="signals").start()


def _leave_to_thread(number: int, frame: object) -> None:
    pass


def _watch(reading: int, hint: str) -> None:
    while True:
        number = os.read(reading, 1)[0]
        if number in STOPPED and signal.getsignal(number) is _leave_to_thread:
            name = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
            stop_process(f"{name}{hint}", STOPPED[signal.Signals(number)])
