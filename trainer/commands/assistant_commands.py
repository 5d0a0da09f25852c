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
    settings = read_settings(SftSettings, config, [*changes, *list_files("chat", files)], start, lora)
    inputs = open_conversations(settings, start)
    if is_main():
        click.echo(inputs.describe(), err=True)
    result = sft(inputs, start, output, allow_changes=allow_changes)
    if is_main():
        click.echo(
            f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} answer tokens, loss {result.loss:.4f}"
        )


@train.command("reward", short_help="Train a reward model on preferences.")
@post_training_options("PREFERENCES...")
@lora_option
def reward_command(
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    allow_changes: bool,
) -> None:
    """Teach a model to score answers, from files of PREFERENCES; it starts from the model of RUN.

    Formats, told by their keys: HH-RLHF's chosen and rejected dialogues, prompt with chosen and rejected answer, judged
    pairs (output_1, output_2, preference), ranked Open-Assistant trees. The held-out accuracy stands beside that of the
    answers' lengths alone.
    """
    from trainer.tasks.reward import RewardSettings, train_reward_model
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    given = [*changes, *list_files("pairs", files)]
    settings = read_settings(RewardSettings, config, given, start, lora, scalar_head=True)
    result = train_reward_model(settings, start, output, allow_changes=allow_changes)
    if is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} pairs, loss {result.loss:.4f}")


def _learn_preferences(
    kind: str,
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    allow_changes: bool,
) -> None:
    from trainer.tasks.preference import PreferenceSettings, learn_preferences, open_pairs
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    given = [*changes, f"preference.kind={kind}", *list_files("pairs", files)]
    settings, split = open_pairs(read_settings(PreferenceSettings, config, given, start, lora), start)
    if is_main():
        click.echo(split.describe(), err=True)
    result = learn_preferences(settings, split, start, output, allow_changes=allow_changes)
    if is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}, loss {result.loss:.4f}")


@train.command("dpo", short_help="Learn from preferences without a reward model.")
@post_training_options("PREFERENCES...")
@lora_option
def dpo_command(**options: Any) -> None:
    """Make the preferred answers of PREFERENCES more likely than the rejected ones (DPO), near the model of RUN.

    Formats as in `gristmill train reward`. RUN is best a model that was fine-tuned (sft) on such answers.
    """
    _learn_preferences("dpo", **options)


@train.command("kto", short_help="Learn from good and bad answers, one by one.")
@post_training_options("PREFERENCES...")
@lora_option
def kto_command(**options: Any) -> None:
    """Make the preferred answers of PREFERENCES likely and the rejected ones unlikely (KTO), near the model of RUN.

    Formats as in `gristmill train reward`.
    """
    _learn_preferences("kto", **options)


def list_files(table: str, files: tuple[Path, ...]) -> list[str]:
    """The change that sets the files of a table."""
    return [f"{table}.files=[{', '.join(repr(str(path)) for path in files)}]"]


def read_settings(
    kind: Any, config: Path | None, changes: list[str], start: Any, lora: bool, *, scalar_head: bool = False
) -> Any:
    """Settings of a post-training command, with the model and the tokenizer of its start."""
    from trainer.config import read_config
    from trainer.model.lora import LoraSettings
    from trainer.tasks.start_model import adapted

    given = read_config(kind, None if config is None else str(config), changes)
    adapters = given.model.lora or (LoraSettings() if lora else None)
    model = adapted(start.settings, adapters, scalar_head=scalar_head)
    return given.model_copy(update={"model": model, "tokenizer": start.path / "tokenizer.json"})
