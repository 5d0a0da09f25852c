"""The click group `gristmill train`, and the options and small helpers that several commands share.

Every command imports what it needs when it runs: help needs neither torch nor the data libraries.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from trainer.evaluation.likelihood import Scorer

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING_RUN = click.Path(exists=True, file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def train() -> None:
    """Train language models on curated shards."""


def table_option(command: Command) -> Command:
    """--set TABLE.KEY=VALUE, for commands that take the settings of a whole run."""
    text = "One setting; may be repeated."
    return click.option("--set", "changes", multiple=True, metavar="TABLE.KEY=VALUE", help=text)(command)


def key_option(examples: str) -> Callable[[Command], Command]:
    """--set KEY=VALUE, for commands with settings of their own."""
    return click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help=f"One setting; may be repeated: {examples}."
    )


def run_options(command: Command) -> Command:
    """CONFIG, and the options that change it: --data, --tokenizer, --set."""
    return click.argument("config")(data_options(command))


def data_options(command: Command) -> Command:
    """--data, --tokenizer, --set."""
    for decorate in (
        table_option,
        click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json or its folder."),
        click.option("--data", metavar="DATASET", help="Curated dataset to train on (becomes data source `web`)."),
    ):
        command = decorate(command)
    return command


def check_run_folder(output: Path) -> None:
    """Refuse a folder with files of others as the output of a run."""
    from trainer.files import check_output, is_run, own_lock

    check_output(output, own_lock(output), is_ours=is_run(output))  # a run writes its lock first


def escape_controls(text: str) -> str:
    """Generated text with control characters replaced, so that it cannot move the terminal's cursor."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def is_main() -> bool:
    """True on rank 0 of the processes that torchrun starts, and where there is one process."""
    return os.environ.get("RANK", "0") == "0"


def pick_device() -> str:
    """cuda where there is a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def open_scorer(run: Path) -> Scorer:
    """The decoder of a run with its tokenizer, ready to score texts."""
    from trainer.data.tokenizer import load_tokenizer
    from trainer.evaluation.likelihood import Scorer
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.saved_model import load_decoder

    run_settings, device = read_pretrain_settings(str(run)), pick_device()
    model = load_decoder(run, device)
    return Scorer(
        lambda tokens: model(tokens).logits,
        load_tokenizer(run_settings.tokenizer),
        run_settings.model.context_length,
        device=device,
        progress=sys.stderr.isatty(),
    )
