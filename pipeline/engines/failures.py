"""Find the cause of a failed command, also inside an engine's exception: the message and the exit code."""

from __future__ import annotations

import builtins
import importlib
import re
from typing import NamedTuple

import click

from pipeline.errors import INTERNAL_ERROR, exit_code_of

_PACKAGES = ("pipeline", "classifiers")  # whose functions run in an engine's workers
_ERRNO = re.compile(r"\[Errno (\d+)\]")
# The last line of a Python traceback: the class by its full path, and the message.
_LAST_LINE = re.compile(r"^((?:\w+\.)*)(\w+): (.+)$", flags=re.MULTILINE)


class Failure(NamedTuple):
    """One line for the user, and the exit code of the command."""

    message: str
    exit_code: int


def find_failure(error: Exception) -> Failure:
    """What ended a command; where an engine raised its own exception, the worker's error in its text decides."""
    code = exit_code_of(type(error), getattr(error, "errno", None))
    if isinstance(error, click.ClickException):
        code = error.exit_code  # with the trainer's errors, the cause decides
    if code != INTERNAL_ERROR:
        return Failure(_one_line(_text(error)), code)
    failures = [_failure_in(*line) for line in _LAST_LINE.findall(str(error))]
    known = [failure for failure in failures if failure.exit_code != INTERNAL_ERROR]
    return known[-1] if known else Failure(_one_line(str(error)), INTERNAL_ERROR)


def _text(error: Exception) -> str:
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def _failure_in(module: str, name: str, message: str) -> Failure:
    kind = _exception_class(module.removesuffix("."), name)
    number = _ERRNO.match(message)
    code = INTERNAL_ERROR if kind is None else exit_code_of(kind, int(number[1]) if number else None)
    return Failure(_one_line(message), code)


def _exception_class(module: str, name: str) -> type[BaseException] | None:
    """The exception class in a traceback, if it is of Python or of these packages."""
    if not module:
        found = getattr(builtins, name, None)
    elif module.split(".")[0] in _PACKAGES:
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            return None
    else:
        return None
    # A lost connection between engine and worker is the engine's failure, not a file's.
    if isinstance(found, type) and issubclass(found, BaseException) and not issubclass(found, ConnectionError):
        return found
    return None


def _one_line(text: str) -> str:
    return " ".join(re.sub(r" \[while running [^\]]*\]", "", text).split())
