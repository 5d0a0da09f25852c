"""The command that compares assistants."""

from __future__ import annotations

from pathlib import Path

import click

from trainer.commands.group import EXISTING_FILE, EXISTING_RUN, FOLDER, key_option, pick_device, train


@train.command("compare-assistants", short_help="Compare stages of post-training.")
@click.argument("stages", nargs=-1, required=True, metavar="NAME=RUN...")
@click.option(
    "--prompts", "files", type=EXISTING_FILE, multiple=True, required=True, help="Prompts with verifiers; repeatable."
)
@click.option("--reference", metavar="NAME", help="Stage that the KL divergence is measured from.")
@click.option("--reward", type=EXISTING_RUN, help="Reward model: adds the best of n answers of --reference.")
@click.option("--held-out", type=EXISTING_RUN, help="Pretraining run whose held-out text gives bits per byte.")
@click.option("--task", "tasks", type=EXISTING_FILE, multiple=True, help="JSONL file of questions; may be repeated.")
@click.option("--output", type=FOLDER, required=True, help="Folder for comparison.html and comparison.json.")
@key_option("prompts=200, max_new_tokens=64, samples=16, documents=100, ...")
def compare_assistants_command(
    stages: tuple[str, ...],
    files: tuple[Path, ...],
    reference: str | None,
    reward: Path | None,
    held_out: Path | None,
    tasks: tuple[Path, ...],
    output: Path,
    changes: tuple[str, ...],
) -> None:
    """Ask every RUN the same, and write a report: right answers, divergence, bits per byte, questions.

    Stages in the order of training, the first one as what the others are compared with; a NAME given several times
    has several runs, of different seeds, and its numbers have intervals. Prompts that any run was trained on, or one
    that it started from, are left out, and prompts that stages share are counted.
    """
    from trainer.config import read_config
    from trainer.data.sources import open_held_out
    from trainer.files import check_output, holds_keys, write_atomically
    from trainer.studies.assistants import (
        ComparisonSettings,
        compare_assistants,
        comparison_as_json,
        describe_comparison,
        shared_tokenizer,
    )
    from trainer.studies.assistants_report import write_comparison
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.command_line import describe_command

    runs = read_stages(stages)
    check_output(output, is_ours=holds_keys(output / "comparison.json", "stages", "prompts"))
    text = None
    if held_out is not None:
        settings = read_pretrain_settings(str(held_out))  # its text, as the stages' tokens
        text = open_held_out(settings.data, shared_tokenizer(runs))
    found = compare_assistants(
        runs,
        files,
        read_config(ComparisonSettings, None, changes),
        reference=reference,
        reward=reward,
        held_out=text,
        questions=tasks,
        device=pick_device(),
        log=lambda line: click.echo(line, err=True),
    )
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "comparison.json", comparison_as_json(found))
    write_comparison(found, runs, output / "comparison.html", describe_command())
    click.echo(describe_comparison(found))
    click.echo(output / "comparison.html")


def read_stages(given: tuple[str, ...]) -> dict[str, list[Path]]:
    """Runs by the names of their stages, in the order given."""
    found: dict[str, list[Path]] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text}: expected NAME=RUN")
        if not Path(path).is_dir():
            raise click.UsageError(f"{path}: no such folder")
        found.setdefault(name, []).append(Path(path))
    return found
