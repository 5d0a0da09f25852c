"""Factories for test_killable_process.py, run in the child: the content of a page selects what their function does."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.documents import Page

_leaked: list[bytearray] = []


class UnpicklableError(Exception):
    def __reduce__(self) -> str:
        raise TypeError("not this one")


def build(suffix: str) -> Callable[[Page], tuple[str, int]]:
    def run_command(page: Page) -> tuple[str, int]:
        text = page.content.decode().strip()
        command, _, argument = text.partition(" ")
        if command == "once":
            text = _once(Path(argument))
        elif command in _COMMANDS:
            _COMMANDS[command]()
        return f"{text} {suffix}", os.getpid()

    return run_command


def raise_error() -> Callable[[Page], object]:
    raise ValueError("no model at models/quality; name another folder")


def raise_unpicklable() -> Callable[[Page], object]:
    raise UnpicklableError("cannot travel")


def kill_itself() -> Callable[[Page], object]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _spin() -> None:
    while True:
        pass


def _regex() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # one call that takes hours and holds the interpreter lock


def _memory() -> None:
    while True:
        _leaked.append(bytearray(20_000_000))


def _raise() -> None:
    raise KeyError("a bug in a stage")


def _once(mark: Path) -> str:
    if mark.exists():
        return "second try"
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


_COMMANDS: dict[str, Callable[[], object]] = {
    "spin": _spin,
    "regex": _regex,
    "memory": _memory,
    "raise": _raise,
    "nap": lambda: time.sleep(1),
    "sleep": lambda: time.sleep(600),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "leak": lambda: _leaked.append(bytearray(b"x" * 1_200_000)),
}
