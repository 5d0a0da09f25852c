"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

    2         UserError: wrong usage, settings or input
    3         TrainingStoppedError: a run that ended at an anomaly
    4, 6, 7   a UserError that is raised `from` a failure of a disk or a network: it cannot be read or written, or does
              not answer; no space left; no permission
    5         LockedError: another process trains in the folder
    129, 130, 143  StoppedBySignalError: SIGHUP, Ctrl-C, SIGTERM

These are the codes of pipeline/errors.py, from which the command line has those of a plain OSError as well. Every other
exception is a bug of this package and ends with a traceback. The base is click's own exception, which click prints as
one line before it exits.
"""

from __future__ import annotations

import errno
import signal
from typing import Any

import click

FILE_ERROR, DISK_FULL, NO_ACCESS = 4, 6, 7
_OF_FULL_DISKS = (errno.ENOSPC, errno.EDQUOT)
_OF_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
_CLIENTS = ("aiohttp", "botocore", "aiobotocore", "gcsfs", "google", "urllib3")  # modules of network errors


class UserError(click.ClickException):
    """Wrong usage, settings or input, or a failure of a disk or a network, which is the cause of the error then."""

    own_exit_code = 2  # where no such failure is the cause

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        cause = self.__cause__
        return (cause.exit_code if isinstance(cause, UserError) else failure_code(cause)) or self.own_exit_code

    def __reduce__(self) -> str | tuple[Any, ...]:
        self.own_exit_code = self.exit_code  # an error of a worker process arrives without its cause
        return super().__reduce__()


class TrainingStoppedError(UserError):
    """A run that ended early, at an anomaly or a signal; the message names its report and checkpoint."""

    own_exit_code = 3


class StoppedBySignalError(TrainingStoppedError):
    """A run that SIGHUP, Ctrl-C or SIGTERM ended, after it wrote a checkpoint."""

    def __init__(self, message: str, number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.own_exit_code = 128 + number


class LockedError(UserError):
    """Another process holds the lock."""

    own_exit_code = 5


def failure_code(error: BaseException | None) -> int | None:
    """The exit code of a failure of a disk or a network; None for other errors, and for a file that does not exist."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # fsspec raises it for every failure of a web server
    status, number = _http_status(error), getattr(error, "errno", None)
    if error is None or isinstance(error, FileNotFoundError) or status in (404, 410):
        return None
    if number in _OF_FULL_DISKS:
        return DISK_FULL
    if number in _OF_ACCESS or isinstance(error, PermissionError) or status in (401, 403):
        return NO_ACCESS
    of_system = isinstance(error, OSError) and (number is not None or isinstance(error, ConnectionError | TimeoutError))
    return FILE_ERROR if of_system or type(error).__module__.split(".")[0] in _CLIENTS else None


def _http_status(error: BaseException | None) -> int | None:
    """The server's answer, by the exceptions of http (status), gs (code) and s3 clients (response)."""
    response = getattr(error, "response", None) or getattr(getattr(error, "__cause__", None), "response", None)
    of_s3 = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    found = getattr(error, "status", None) or getattr(error, "code", None) or of_s3
    return found if isinstance(found, int) else None
