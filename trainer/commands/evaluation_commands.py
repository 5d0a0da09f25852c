"""Commands about evaluation: eval, arena, win-rate, order-test, contamination."""

from __future__ import annotations

import json
from pathlib import Path

import click

from trainer.commands.group import EXISTING_FILE, EXISTING_RUN, FILE, FOLDER, key_option, open_scorer, train


@train.command("eval", short_help="Measure a model on text and questions.")
@click.argument("run", type=EXISTING_RUN)
@click.option("--task", "tasks", type=EXISTING_FILE, multiple=True, help="JSONL file of questions; may be repeated.")
@click.option("--output", type=FILE, help="File for the JSON report.")
@click.option("--data", metavar="DATASET", help="Dataset to take held-out text from; the run's own where left out.")
@click.option("--cache", type=FOLDER, help="Folder for the token files; the run's own where left out.")
@click.option("--no-held-out", is_flag=True, help="Questions only; the run's data is not opened.")
@key_option("examples=5, limit=100, documents=500")
def eval_command(
    run: Path,
    tasks: tuple[Path, ...],
    output: Path | None,
    data: str | None,
    cache: Path | None,
    no_held_out: bool,
    changes: tuple[str, ...],
) -> None:
    """Measure RUN's model: bits per byte of held-out text by domain, and questions by letter and by full answer.

    Bits per byte compares models of different tokenizers, since the bytes of a text do not depend on it; perplexity is
    a mean over tokens, so it compares models of one tokenizer only.
    """
    from trainer.config import read_config
    from trainer.data.sources import open_held_out
    from trainer.evaluation.harness import EvaluationSettings, evaluate, format_evaluation
    from trainer.files import check_output_file, holds_keys, write_atomically
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    settings = read_config(EvaluationSettings, None, changes)
    if output is not None:
        check_output_file(output, tasks, is_ours=holds_keys(output, "tasks", "held_out"))
    scorer = open_scorer(run)
    changed = [] if cache is None else [f"data.cache={str(cache)!r}"]
    data_settings = read_pretrain_settings(str(run), changed, data).data
    held_out = None if no_held_out else open_held_out(data_settings, scorer.tokenizer)
    report = evaluate(scorer, tasks, held_out, settings)
    if output is not None:
        write_atomically(output, json.dumps(report, indent=1) + "\n")
    click.echo(format_evaluation(report))


@train.command("order-test", short_help="Test if a model has seen a file.")
@click.argument("run", type=EXISTING_RUN)
@click.argument("examples", type=EXISTING_FILE)
@click.option("--runs", default=15, show_default=True, help="Consecutive parts that the file is cut into.")
@click.option("--shuffles", default=10, show_default=True, help="Random orders that each part is compared with.")
def order_test_command(run: Path, examples: Path, runs: int, shuffles: int) -> None:
    """Test whether RUN's model has seen EXAMPLES (JSONL) in the order of the file. Prints a p-value."""
    from trainer.contamination.scan import read_texts
    from trainer.evaluation.order_test import order_test

    found = order_test(open_scorer(run), [text for _, text in read_texts(examples)], runs, shuffles)
    click.echo(
        f"p = {found.p:.3g}: the log-likelihood of the file's order is {found.advantage:+.2f} nats above the mean of "
        f"{shuffles} shuffles (mean over {runs} runs)"
    )


@train.command("contamination", short_help="Find evaluation text in training data.")
@click.argument("training")
@click.option("--eval", "sets", type=EXISTING_FILE, multiple=True, required=True, help="JSONL file; may be repeated.")
@click.option("--output", type=FILE, help="File for the hits (JSONL); a data source's `exclude` reads it.")
@click.option("--clean", type=FILE, help="File for TRAINING (JSONL) without the rows in which a hit was found.")
@click.option("--canaries", type=click.IntRange(0), default=200, show_default=True, help="Planted to measure recall.")
@key_option("words=13, overlap=0.5, ubiquitous=100")
def contamination_command(
    training: str,
    sets: tuple[Path, ...],
    output: Path | None,
    clean: Path | None,
    canaries: int,
    changes: tuple[str, ...],
) -> None:
    """Find evaluation text in TRAINING: a curated dataset, or a JSONL file of instructions or preferences.

    Prints a report. To remove what was found: for a dataset, name the file of --output as a source's `exclude`;
    for a JSONL file, give --clean.
    """
    from trainer.config import read_config
    from trainer.contamination.ngram_index import ContaminationSettings, build_index
    from trainer.contamination.scan import (
        measure_recall,
        read_first_texts,
        read_items,
        read_texts,
        scan_dataset,
        scan_texts,
        summarize_scan,
        write_clean,
        write_hits,
    )
    from trainer.data.curated_dataset import open_dataset
    from trainer.files import check_output_files

    settings = read_config(ContaminationSettings, None, changes)
    is_jsonl = training.removesuffix(".gz").endswith(".jsonl")
    if clean is not None and not is_jsonl:
        raise click.UsageError(
            "--clean needs a JSONL file; for a dataset, name the file of --output as a source's `exclude`"
        )
    check_output_files([output, clean], [*sets, Path(training)])
    index = build_index([item for path in sets for item in read_items(path)], settings)
    if is_jsonl:
        texts = read_texts(Path(training))
        scan = scan_texts(index, texts)
    else:
        dataset = open_dataset(training)
        scan, texts = scan_dataset(index, dataset), read_first_texts(dataset, 500)
    report = summarize_scan(index, scan)
    if canaries:
        report["canaries"] = measure_recall(index, texts, canaries)
    if output is not None:
        write_hits(output, scan.hits)
    if clean is not None:
        write_clean(Path(training), scan.hits, clean)
    click.echo(json.dumps(report, indent=1))


@train.command("arena", short_help="Rank models by their battles.")
@click.argument("battles", type=EXISTING_FILE)
def arena_command(battles: Path) -> None:
    """Rank models by BATTLES, JSON lines with `a`, `b` and `winner` (a, b or tie).

    score: Bradley-Terry in Elo points (mean 1,000) with a bootstrap interval; Elo: ratings in the order of the file.
    """
    from trainer.evaluation.arena import format_ranks, rank_models, read_battles

    click.echo(format_ranks(rank_models(read_battles(battles))))


@train.command("win-rate", short_help="Win rate of judged answers.")
@click.argument("annotations", nargs=-1, required=True, type=EXISTING_FILE)
def win_rate_command(annotations: tuple[Path, ...]) -> None:
    """Print how often judges preferred a model's answers to a baseline's, for each file of ANNOTATIONS.

    A file is a list of objects with output_1 (the baseline's), output_2 (the model's) and preference (1, 2; 0 or 1.5
    for a tie). "at equal length": what a regression on the length of the answers predicts for answers of one length.
    """
    from trainer.evaluation.win_rate import measure_win_rate, read_annotations

    for path in annotations:
        found = measure_win_rate(read_annotations(path))
        click.echo(
            f"{path.name}: {found.rate:.2%} of {found.comparisons:,} (standard error {found.standard_error:.2%}), "
            f"{found.length_controlled:.2%} at equal length; the longer answer in {found.longer:.0%}"
        )
