from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from trainer.cli import train


@pytest.mark.parametrize(
    "words",
    ["eval nothing", "generate nothing", "export nothing --output x", "anneal nothing --output x", "report nothing"],
)
def test_a_missing_run_is_reported(words: str) -> None:
    result = CliRunner().invoke(train, words.split())
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == "Error: Invalid value for 'RUN': Directory 'nothing' does not exist."


def list_commands(group: click.Group) -> list[click.Command]:
    """All commands of a group and of its subgroups, the subgroups themselves included."""
    found: list[click.Command] = []
    for command in group.commands.values():
        found += [command, *(list_commands(command) if isinstance(command, click.Group) else ())]
    return found


@pytest.mark.parametrize("command", list_commands(train), ids=lambda command: str(command.name))
def test_help_is_complete(command: click.Command) -> None:
    """No summary is cut, and every option has a help text."""
    assert not command.get_short_help_str(45).endswith("...")
    assert all(option.help for option in command.params if isinstance(option, click.Option))
