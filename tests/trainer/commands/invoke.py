"""Call the commands as a user does."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from trainer.cli import train

FAST = [
    "model.hidden_size=32",
    "model.layers=1",
    "model.heads=2",
    "model.kv_heads=1",
    "data.batch_size=8",
    "data.sequence_length=64",
]
FAST += [
    "model.context_length=64",
    "loop.steps=12",
    "loop.threads=1",
    "loop.precision=float32",
    "schedule.warmup_steps=2",
]
FAST += ["data.held_out=0.1", "data.workers=1"]
SET = [word for change in FAST for word in ("--set", change)]


def run(*arguments: object) -> str:
    """The output of a command; its errors are raised."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(train, words, catch_exceptions=False, standalone_mode=False)
    assert result.exit_code == 0, result.output
    return result.output


def run_options(folder: Path) -> list[object]:
    """Options of a run of seconds on the small dataset."""
    return ["--data", folder / "set", "--tokenizer", folder / "tokenizer", "--set", f"data.cache={folder}/cache", *SET]
