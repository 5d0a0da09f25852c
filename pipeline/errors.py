"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

    0    done
    1    internal error (a bug): any other exception, with a traceback
    2    UserError: wrong usage, settings or input
         MissingFileError: an input that does not exist
    3    RunFailedError: ledger, error budget, engine
    4    FileError: a file cannot be read or written, or storage does not answer; it may pass
    5    LockedError: another process holds the lock of the output
    6    DiskFullError: no space left, or over quota
    7    AccessError: no permission, or a disk that is mounted read-only
    129, 130, 143  stopped by SIGHUP, SIGINT (Ctrl-C), SIGTERM

All of these classes and the errors of other modules (StorageError, LedgerError, ...) derive from
UserError; classifiers and trainer have a UserError of their own. All derive from click's exception for users, so the
command line needs no list of classes.
"""

from __future__ import annotations

import signal

import click

from classifiers.errors import NO_ACCESS, NO_SPACE

INTERNAL_ERROR = 1
STOPPED = {number: 128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}


class UserError(click.ClickException):
    """Wrong usage, settings or input."""

    exit_code = 2


class MissingFileError(UserError):
    """An input that does not exist."""


class RunFailedError(UserError):
    """The run failed: the ledger, an error budget or the engine. Nothing was published."""

    exit_code = 3


class FileError(UserError):
    """A file cannot be read or written: an I/O error, or storage that does not answer."""

    exit_code = 4


class DiskFullError(FileError):
    """No space is left on a disk, or a quota is used up."""

    exit_code = 6


class AccessError(FileError):
    """No permission to read or write a file, or its disk is mounted read-only."""

    exit_code = 7


class LockedError(UserError):
    """Another process holds the lock."""

    exit_code = 5


def exit_code_of(kind: type[BaseException], number: int | None = None) -> int:
    """The exit code of a command that an error of this class ends; `number` is the errno of an OSError."""
    if issubclass(kind, click.ClickException):
        return kind.exit_code
    if issubclass(kind, FileNotFoundError):
        return MissingFileError.exit_code
    if not issubclass(kind, OSError):
        return INTERNAL_ERROR
    if number in NO_SPACE:
        return DiskFullError.exit_code
    return AccessError.exit_code if number in NO_ACCESS or issubclass(kind, PermissionError) else FileError.exit_code
