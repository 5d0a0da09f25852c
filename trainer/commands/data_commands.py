"""Commands about data: train a tokenizer, tokenize, show the mixture of a run, trace a step to its pages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from trainer.commands.group import FILE, FOLDER, key_option, run_options, train


@train.command("tokenizer", short_help="Train a byte-level BPE tokenizer.")
@click.argument("dataset")
@click.option("--output", type=FOLDER, required=True, help="Folder for tokenizer.json and its report.")
@click.option("--vocab-size", type=click.IntRange(400), default=32_768, show_default=True, help="Number of token ids.")
@click.option("--compare", multiple=True, metavar="PEER", help="gpt2, o200k_base, ... or a tokenizer's file or folder.")
@key_option("digits=triples, sentinels=0, ...")
def tokenizer_command(
    dataset: str, output: Path, vocab_size: int, compare: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """Train a byte-level BPE tokenizer on a weighted sample of DATASET, and report its bytes per token."""
    from trainer.config import read_config
    from trainer.data.curated_dataset import open_dataset
    from trainer.data.text_samples import held_out_samples, training_texts
    from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
    from trainer.data.tokenizer_report import count_with, format_report, measure_tokenizers, open_peer
    from trainer.files import check_output, holds_keys, lock_run, own_lock, write_atomically

    settings = read_config(TokenizerSettings, None, [f"vocab_size={vocab_size}", *changes])
    ours = holds_keys(output / "tokenizer_report.json", "all", "domain", "language")
    check_output(output, own_lock(output), is_ours=ours)
    peers = {name: open_peer(name) for name in compare}
    opened = open_dataset(dataset)
    click.get_current_context().with_resource(lock_run(output))
    texts = training_texts(opened, settings.sample_bytes)
    trained = train_tokenizer(texts, settings, progress=sys.stderr.isatty())
    samples = held_out_samples(opened, settings.sample_bytes)
    report = measure_tokenizers(samples, {"gristmill": count_with(trained), **peers})
    # First the file by which a repetition of the command knows its folder.
    write_atomically(output / "tokenizer_report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    trained.save(output / "tokenizer.json")
    click.echo(format_report(report))
    engine = "tiktoken (equal ids)" if trained.fast else "tokenizers (tiktoken's ids differ)"
    click.echo(f"{output / 'tokenizer.json'}: {trained.vocab_size:,} tokens, encoded by {engine}")


@train.command("make-conversations", short_help="Find questions and answers in a dataset.")
@click.argument("dataset")
@click.option("--output", type=FILE, required=True, help="File of JSON lines, for sft.")
def make_conversations_command(dataset: str, output: Path) -> None:
    """Write the questions of DATASET's pages with their answers as conversations.

    Only where a page's text shows both: lines Q: and A:, lists of frequently asked questions, questions above "Accepted
    Answer" or "3 Answers", and forum threads. Each conversation has the id and the URL of its page.
    """
    from trainer.chat.question_pages import write_page_conversations
    from trainer.data.curated_dataset import open_dataset
    from trainer.files import check_output_file

    check_output_file(output)
    click.echo(f"{output}: {write_page_conversations(open_dataset(dataset), output).describe()}")


@train.command("name-tokens", short_help="Name reserved control tokens.")
@click.argument("tokenizer", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, required=True)
@click.option("--output", type=FOLDER, required=True, help="Folder for the new tokenizer.json.")
def name_tokens_command(tokenizer: Path, names: tuple[str, ...], output: Path) -> None:
    """Name the first reserved tokens of TOKENIZER, each as <|name|>. A model trained with it keeps its shapes.

    `pretrain --start` takes a run's weights with the new tokenizer.
    """
    from trainer.data.tokenizer import TOKENIZER_FILE, load_tokenizer, name_reserved
    from trainer.files import check_output

    named = name_reserved(load_tokenizer(tokenizer), names)
    path = output / TOKENIZER_FILE
    check_output(output, [TOKENIZER_FILE] if path.is_file() and path.read_bytes() == named.json.encode() else [])
    named.save(path)
    ids = ", ".join(f"{name} {named.control[name]}" for name in names)
    click.echo(f"{path}: {ids}")


@train.command("tokens", short_help="Tokenize a dataset before a run.")
@click.argument("dataset")
@click.option("--tokenizer", type=click.Path(path_type=Path), required=True, help="tokenizer.json or its folder.")
@click.option("--cache", type=FOLDER, help="Folder for the token files; tokens/ in GRISTMILL_CACHE or ~/.cache.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes; 0 is one per core.")
@click.option("--format", "kind", help="Write one pass for another trainer: megatron, olmo, nanotron or mds.")
@click.option("--output", type=FOLDER, help="New folder for --format.")
@click.option("--seed", default=0, show_default=True, help="With --format: of the order and of repetitions.")
@click.option("--sequence-length", type=click.IntRange(1), default=2048, show_default=True, help="Of a sample of mds.")
def tokens_command(
    dataset: str,
    tokenizer: Path,
    cache: Path | None,
    workers: int,
    kind: str | None,
    output: Path | None,
    seed: int,
    sequence_length: int,
) -> None:
    """Tokenize DATASET once, to memory-mapped files. A run does this itself where it is not yet done.

    With --format, one pass over the documents in shuffled order, repeated by their weights, is written for another
    trainer.
    """
    from trainer.data.curated_dataset import open_dataset
    from trainer.data.token_exports import describe_export, export_tokens
    from trainer.data.token_files import read_summary
    from trainer.data.token_formats import TokenFormat
    from trainer.data.tokenize_dataset import tokenize_dataset
    from trainer.data.tokenizer import load_tokenizer
    from trainer.files import cache_folder, check_output
    from trainer.settings import did_you_mean

    if kind is not None and kind not in list(TokenFormat):
        near = did_you_mean(kind, TokenFormat)
        raise click.BadParameter(f"{kind}: write one of {', '.join(TokenFormat)}{near}", param_hint="--format")
    if (kind is None) != (output is None):
        raise click.UsageError("--format and --output belong together")
    if output is not None:
        check_output(output)
    folder = tokenize_dataset(open_dataset(dataset), load_tokenizer(tokenizer), cache or cache_folder(), workers)
    if kind is not None and output is not None:
        found = export_tokens(folder, TokenFormat(kind), output, seed, sequence_length)
        click.echo(describe_export(output, found))
        return
    summary = read_summary(folder)
    click.echo(
        f"{folder}: {summary['documents']:,} documents, {summary['tokens']:,} tokens, "
        f"{summary['bytes'] / max(summary['tokens'], 1):.2f} bytes per token"
    )


@train.command("mixture", short_help="Show the shares of a run's sources.")
@run_options
@click.option("--steps", type=click.IntRange(1), help="Steps of the run; those of CONFIG where left out.")
def mixture_command(
    config: str, data: str | None, tokenizer: Path | None, changes: tuple[str, ...], steps: int | None
) -> None:
    """Show target and realized shares, and repetitions, of the data that a run will read."""
    from trainer.data.mixture import format_shares
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    run = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    click.echo(format_shares(run.source.shares(steps or run.settings.loop.steps)))


@train.command("trace", short_help="List the pages in the batch of a step.")
@run_options
@click.option(
    "--step",
    "steps",
    type=click.IntRange(0),
    multiple=True,
    help="Step, counted from 0; may be repeated.",
)
@click.option(
    "--documents",
    multiple=True,
    metavar="ID|FILE",
    help="The other way round: steps and checkpoints that saw these ids, or those of a receipt of `gristmill remove`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def trace_command(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    steps: tuple[int, ...],
    documents: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the documents in the batch of a step, with URL and WARC offset. CONFIG may be a run's folder.

    Documents that `gristmill remove` has taken out since are listed without their URL.

    With --documents: the steps of the run that read these documents, and its checkpoints that saw them; CONFIG is a
    run's folder or a folder of such. The token store that the run was trained on must still be there.

    Steps count from 0: the batch of step N makes the row of step N + 1 in metrics.jsonl.
    """
    from trainer.data.batches import Segment
    from trainer.data.trace import format_trace, trace_steps
    from trainer.tasks.pretrain_inputs import find_trained_data, open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.checkpoint import find_checkpoint, read_state

    if bool(steps) == bool(documents):
        raise click.UsageError("name either --step or --documents")
    if documents:
        for line in _trace_documents(Path(config), changes, documents, as_json):
            click.echo(line)
        return
    settings = read_pretrain_settings(config, changes, data, tokenizer)
    if Path(config).is_dir() and not (changes or data or tokenizer):
        position = read_state(find_checkpoint(Path(config))).data
        source = find_trained_data(settings, position["fingerprint"], config)
        source = source.with_segments([Segment(*values) for values in position["segments"]])
    else:
        source = open_pretrain_inputs(settings).source
    for line in format_trace(trace_steps(source, steps), as_json=as_json):
        click.echo(line)


def _trace_documents(folder: Path, changes: tuple[str, ...], documents: tuple[str, ...], as_json: bool) -> list[str]:
    from trainer.data.batches import Segment
    from trainer.data.sightings import find_steps, format_sightings, open_trained_data, read_ids
    from trainer.data.sources import pin_snapshots
    from trainer.data.tokenizer import load_tokenizer
    from trainer.errors import UserError
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.checkpoint import find_latest_checkpoint, list_checkpoints, read_state, step_of

    ids, lines = read_ids(documents), list[str]()
    runs = (
        [folder] if (folder / "checkpoints").is_dir() else sorted(path.parent for path in folder.glob("*/checkpoints"))
    )
    if not runs:
        raise UserError(f"{folder}: neither a run's folder nor a folder of runs")
    for run in runs:
        state = read_state(find_latest_checkpoint(run))
        settings = read_pretrain_settings(str(run), changes, None, None)
        data, tokenizer = pin_snapshots(settings.data), load_tokenizer(settings.tokenizer)
        source = open_trained_data(data, tokenizer, state.data["fingerprint"], str(run))
        source = source.with_segments([Segment(*values) for values in state.data["segments"]])
        sightings = find_steps(source, ids, state.step)
        if len(sightings) < len(ids):
            click.echo(f"{run}: {len(ids) - len(sightings):,} of {len(ids):,} documents are not in its data", err=True)
        found = format_sightings(
            str(run),
            sightings,
            [step_of(path) for path in list_checkpoints(run / "checkpoints")],
            as_json=as_json,
        )
        lines += found if not lines or as_json else found[1:]
    return lines
