"""A page process that is a thread: it stands in for `subprocess.Popen` and answers as the child does, in milliseconds.

What it answers depends on the settings and the page alone, so that the stages are loaded, and each page is read, once.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from pipeline import effects
from pipeline.effects import Effect

_stages: dict[tuple[Any, ...], Callable[[Any], Any]] = {}
_answers: dict[tuple[Any, ...], Any] = {}


class _Outside:
    """What the child does concerns no simulated world."""

    def perform(self, _effect: Effect, _subject: str, action: Callable[[], Any], _torn: object = None) -> Any:
        return action()


class PageThread:
    """The parent's side, as of a process."""

    pid = os.getpid()

    def __init__(self, _command: Sequence[str], *, pass_fds: Sequence[int], **_: Any) -> None:
        self._pipe = Connection(os.dup(pass_fds[0]))
        self._is_killed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        self._is_killed = True

    def send_signal(self, _number: int) -> None:
        self._is_killed = True

    def wait(self, _seconds: float | None = None) -> int:
        self._thread.join()
        return -signal.SIGKILL if self._is_killed else 0

    def _serve(self) -> None:
        with self._pipe, suppress(EOFError, ConnectionError):
            factory, arguments, _memory = self._pipe.recv()
            if self._is_killed:
                return
            key = (factory, *arguments)
            with effects.simulate(_Outside()):  # the parent waits meanwhile
                if key not in _stages:
                    _stages[key] = factory(*arguments)
            self._pipe.send(None)
            while not self._is_killed:
                page, *_limits = self._pipe.recv()
                place = (*key, pickle.dumps(page))  # a document, which a rerun goes on with, is not hashable
                with effects.simulate(_Outside()):
                    if place not in _answers:
                        _answers[place] = _stages[key](page)
                self._pipe.send(_answers[place])
