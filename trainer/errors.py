"""Errors that a user can mend: one line that says what, where and what to do, and an exit code.

Every other exception is a bug of this package and ends with a traceback. The base is click's own exception, which
click prints as one line before it exits.
"""

from __future__ import annotations

import click


class UserError(click.ClickException):
    """Wrong usage, settings or input."""

    exit_code = 2
