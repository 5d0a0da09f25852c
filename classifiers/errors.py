"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

Every other exception is a bug of this package and ends with a traceback. The base is click's exception for users, so
the command line needs no list of classes. Exit codes are those of pipeline/errors.py.
"""

from __future__ import annotations

import click


class UserError(click.ClickException):
    """Wrong usage, settings or input."""

    exit_code = 2


class ModelRefusedError(UserError):
    """A model is worse than its floors."""

    exit_code = 3


class NothingFoundError(UserError):
    """A command found no row to write."""

    exit_code = 3
