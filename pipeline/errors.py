"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

Every other exception is a bug of this package and ends with a traceback. The base is click's own exception for users:
the command line needs no list of ours.
"""

from __future__ import annotations

import click


class UserError(click.ClickException):
    """Wrong usage, settings or input."""

    exit_code = 2


class RunFailedError(UserError):
    """The run itself failed: the ledger, an error budget or the engine. Nothing was published."""

    exit_code = 3
