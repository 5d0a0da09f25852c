"""Commands that make an assistant of a pretrained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trainer.commands.group import EXISTING_FILE, EXISTING_RUN, FOLDER, Command, check_run_folder, is_main, train


def post_training_options(what: str) -> Callable[[Command], Command]:
    """RUN and FILES, --output, --config, --set, --allow-changes of a post-training command."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--allow-changes", is_flag=True, help="Resume though settings or data differ."),
            click.option(
                "--set", "changes", multiple=True, metavar="TABLE.KEY=VALUE", help="One setting; may be repeated."
            ),
            click.option("--config", type=EXISTING_FILE, help="TOML file; see `gristmill train settings --of ...`."),
            click.option("--output", type=FOLDER, required=True, help="Run directory; resumes if it has a checkpoint."),
            click.argument("files", nargs=-1, required=True, type=EXISTING_FILE, metavar=what),
            click.argument("run", type=EXISTING_RUN),
        ):
            command = option(command)
        return command

    return decorate


lora_option = click.option("--lora", is_flag=True, help="Train adapters (LoRA) beside the frozen weights.")


@train.command("sft", short_help="Fine-tune a model on conversations.")
@post_training_options("CONVERSATIONS...")
@lora_option
def sft_command(
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    allow_changes: bool,
) -> None:
    """Teach the model of RUN to answer, from files of CONVERSATIONS.

    Formats, told by their keys: messages, ShareGPT's conversations, Alpaca's instruction and output, Open-Assistant
    trees, tables (.tsv) of question, answer and reason. .jsonl, .json or .tsv, plain or with .gz. Only answers are
    learned. Run the same command again after a crash: it resumes from the last checkpoint.
    """
    from trainer.tasks.sft import SftSettings, open_conversations, sft
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    settings = read_settings(SftSettings, config, [*changes, *chat_files(files)], start, lora)
    inputs = open_conversations(settings, start)
    if is_main():
        click.echo(inputs.describe(), err=True)
    result = sft(inputs, start, output, allow_changes=allow_changes)
    if is_main():
        click.echo(
            f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} answer tokens, loss {result.loss:.4f}"
        )


def chat_files(files: tuple[Path, ...]) -> list[str]:
    """The change that sets chat.files."""
    return [f"chat.files=[{', '.join(repr(str(path)) for path in files)}]"]


def read_settings(kind: Any, config: Path | None, changes: list[str], start: Any, lora: bool) -> Any:
    """Settings of a post-training command, with the model and the tokenizer of its start."""
    from trainer.config import read_config
    from trainer.model.lora import LoraSettings
    from trainer.tasks.start_model import adapted

    given = read_config(kind, None if config is None else str(config), changes)
    adapters = given.model.lora or (LoraSettings() if lora else None)
    model = adapted(start.settings, adapters)
    return given.model_copy(update={"model": model, "tokenizer": start.path / "tokenizer.json"})
