"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

Every other exception is a bug of this package and ends with a traceback. The base is click's exception for users, so
the command line needs no list of classes. Exit codes are those of pipeline/errors.py.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import click

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(click.ClickException):
    """Wrong usage, settings or input."""

    exit_code = 2


class ModelRefusedError(UserError):
    """A model is worse than its floors."""

    exit_code = 3


class NothingFoundError(UserError):
    """A command found no row to write."""

    exit_code = 3


class FileError(UserError):
    """A file cannot be read: an error of its disk. It may pass."""

    exit_code = 4


class DiskFullError(FileError):
    """No space is left on a disk, or a quota is used up."""

    exit_code = 6


class AccessError(FileError):
    """No permission to read a file, or its disk is mounted read-only."""

    exit_code = 7


@contextmanager
def explain_disk(path: object) -> Iterator[None]:
    """Turns a disk's errors while `path` is read into FileError; a missing file and what libraries raise pass through.

    A library says what is wrong with a file's content by an OSError without a number.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        kind = DiskFullError if error.errno in NO_SPACE else AccessError if error.errno in NO_ACCESS else FileError
        raise kind(f"{error.filename or path}: cannot read it ({error.strerror})") from error
