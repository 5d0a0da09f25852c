"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

    0    done
    1    internal error (a bug): any other exception, with a traceback
    2    UserError: wrong usage, settings or input
         MissingFileError: an input that does not exist
    3    RunFailedError: ledger, error budget, engine
    4    FileError: a file cannot be read or written (storage, full disk, permissions)
    5    LockedError: another process holds the lock
    130  interrupted (Ctrl-C)

RunFailedError, FileError, LockedError and the errors of other modules (StorageError, LedgerError, ...) derive from
UserError; classifiers and trainer have a UserError of their own. All derive from click's exception for users, so the
command line needs no list of classes.
"""

from __future__ import annotations

import click

INTERNAL_ERROR = 1
INTERRUPTED = 130


class UserError(click.ClickException):
    """Wrong usage, settings or input."""

    exit_code = 2


class MissingFileError(UserError):
    """An input that does not exist."""


class RunFailedError(UserError):
    """The run failed: the ledger, an error budget or the engine. Nothing was published."""

    exit_code = 3


class FileError(UserError):
    """A file cannot be read or written: storage, disk full, permissions."""

    exit_code = 4


class LockedError(UserError):
    """Another process holds the lock."""

    exit_code = 5


def exit_code_of(kind: type[BaseException]) -> int:
    """The exit code of a command that an error of this class ends."""
    if issubclass(kind, click.ClickException):
        return kind.exit_code
    if issubclass(kind, FileNotFoundError):
        return MissingFileError.exit_code
    return FileError.exit_code if issubclass(kind, OSError) else INTERNAL_ERROR
