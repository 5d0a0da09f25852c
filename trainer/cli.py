"""`gristmill train`: every command imports what it needs when it is called, so that help is instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def _options(*decorators: Any) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


configured = _options(
    click.argument("config"),
    click.option("--data", metavar="DATASET", help="Output of gristmill curate; a source named `web` by itself."),
    click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json or its folder."),
    click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting; may be repeated."),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def train() -> None:
    """From curated shards to a trained model."""


@train.command()
@click.argument("dataset")
@click.option("--output", type=FOLDER, required=True, help="Folder for tokenizer.json and its report.")
@click.option("--vocabulary", type=click.IntRange(400), default=32_768, show_default=True)
@click.option("--compare", multiple=True, metavar="PEER", help="gpt2, o200k_base, ... or a tokenizer's file or folder.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
def tokenizer(dataset: str, output: Path, vocabulary: int, compare: tuple[str, ...], changes: tuple[str, ...]) -> None:
    """Train a byte-level BPE tokenizer on a weighted sample of DATASET, and report its bytes per token."""
    from trainer import fertility
    from trainer import tokenizer as tokenizers
    from trainer.config import read_config
    from trainer.dataset import open_dataset
    from trainer.sampling import held_out_samples, training_texts

    settings = read_config(tokenizers.TokenizerSettings, None, [f"vocabulary={vocabulary}", *changes])
    peers = {name: fertility.peer(name) for name in compare}
    opened = open_dataset(dataset)
    texts = training_texts(opened, settings.sample_bytes)
    trained = tokenizers.train(texts, settings, progress=sys.stderr.isatty())
    trained.save(output / "tokenizer.json")
    report = fertility.measure(
        held_out_samples(opened, settings.sample_bytes), {"gristmill": fertility.ours(trained), **peers}
    )
    (output / "tokenizer_report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    click.echo(fertility.table(report))
    engine = "tiktoken (equal ids)" if trained.fast else "tokenizers (tiktoken's ids differ)"
    click.echo(f"{output / 'tokenizer.json'}: {trained.vocabulary:,} tokens, encoded by {engine}")


@train.command()
@click.argument("dataset")
@click.option("--tokenizer", "tokenizer_path", type=click.Path(path_type=Path), required=True)
@click.option("--cache", type=FOLDER, default=Path("tokens"), show_default=True)
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes; 0 is one per core.")
def tokens(dataset: str, tokenizer_path: Path, cache: Path, workers: int) -> None:
    """Tokenise DATASET once, to memory-mapped files. Runs do this by themselves where it is not yet done."""
    from trainer import tokenizer as tokenizers
    from trainer.dataset import open_dataset
    from trainer.tokens import tokenize

    store = tokenize(open_dataset(dataset), tokenizers.load(tokenizer_path), cache, workers)
    facts = json.loads((store / "tokens.json").read_text())
    click.echo(
        f"{store}: {facts['documents']:,} documents, {facts['tokens']:,} tokens, "
        f"{facts['bytes'] / max(facts['tokens'], 1):.2f} bytes per token"
    )


@train.command()
@configured
@click.option("--output", type=FOLDER, required=True, help="Folder of the run; a run that is there goes on.")
@click.option("--start", type=FOLDER, help="Run or checkpoint to take the first weights from.")
@click.option("--allow-changes", is_flag=True, help="Go on though settings or data differ from the checkpoint's.")
def pretrain(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    output: Path,
    start: Path | None,
    allow_changes: bool,
) -> None:
    """Train a model. CONFIG is a TOML file, a preset's name, or the folder of another run.

    Run the same command again after a crash: it goes on from the last checkpoint. On several devices:
    torchrun --nproc-per-node N -m trainer.main pretrain ...
    """
    from trainer import pretrain as loop
    from trainer.recipe import open_recipe, read_recipe

    run = open_recipe(read_recipe(config, changes, data, tokenizer))
    _echo_mixture(run.source, run.settings.loop.steps)
    result = loop.pretrain(
        run.settings,
        run.source,
        output,
        validation=run.validation,
        start=start,
        configuration=run.configuration,
        allow_changes=allow_changes,
    )
    click.echo(f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} tokens, loss {result.loss:.4f}")


def _echo_mixture(source: Any, steps: int) -> None:
    from trainer.trace import mixture_table

    click.echo(mixture_table(source.shares(steps)), err=True)


@train.command()
@configured
@click.option("--steps", type=click.IntRange(1), help="Of the run; the configuration's own where left out.")
def mixture(config: str, data: str | None, tokenizer: Path | None, changes: tuple[str, ...], steps: int | None) -> None:
    """Shares asked and realised, and repetitions, of the data a run will read."""
    from trainer.recipe import open_recipe, read_recipe
    from trainer.trace import mixture_table

    run = open_recipe(read_recipe(config, changes, data, tokenizer))
    click.echo(mixture_table(run.source.shares(steps or run.settings.loop.steps)))


@train.command()
@configured
@click.option("--step", "steps", type=click.IntRange(0), multiple=True, required=True, help="May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def trace(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    steps: tuple[int, ...],
    as_json: bool,
) -> None:
    """The documents in the batch of a step, back to URL and WARC offset. CONFIG may be a run's folder.

    Steps count from 0: the batch of step N makes the row of step N + 1 in metrics.jsonl.
    """
    from trainer.recipe import open_recipe, read_recipe
    from trainer.trace import as_lines
    from trainer.trace import trace as trace_steps

    run = open_recipe(read_recipe(config, changes, data, tokenizer))
    for line in as_lines(trace_steps(run.source, steps), as_json=as_json):
        click.echo(line)
