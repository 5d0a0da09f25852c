"""The command that started this process, as run.json and the reports show it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path


def describe_command() -> str:
    """The command line without passwords and signatures in its addresses, because reports are published.

    Empty in a process that `gristmill` did not start.
    """
    program, *arguments = sys.argv
    return shlex.join(["gristmill", *map(without_secrets, arguments)]) if Path(program).name == "gristmill" else ""


def without_secrets(argument: str) -> str:
    """Addresses without user name and password; from a query or fragment on, such as a signature, nothing."""
    without_users = re.sub(r"(\w+://)[^/?#]*@", r"\1", argument)
    return re.sub(r"(\w+://[^?#]*)[?#].*", r"\1", without_users, flags=re.DOTALL)
