"""`gristmill classify`: make, measure and use the models. Every command prints what it did and fails with one line."""

from __future__ import annotations

import functools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from classifiers.data.wikipedia_citations import Citation

EXISTING = click.Path(exists=True, path_type=Path)
ANY_PATH = click.Path(path_type=Path)
TRAINABLE = ("quality", "domain", "harm")
ENGLISH_DUMP = 100e9  # bytes of XML in a dump of all English articles, late 2025
BATCH = 50  # articles handed to a worker process at a time


def speaks_plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the errors that people can mend into one line without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped


data_option = click.option(
    "--data", type=click.Path(path_type=Path), default=Path("../shared/data"), envvar="GRISTMILL_DATA",
    show_default=True,
    help="Folder of real pages that the shipped models are made from (GRISTMILL_DATA).",
)  # fmt: skip
work_option = click.option(
    "--work", type=ANY_PATH, default=Path("build/classify"), show_default=True,
    help="Where extracted text is kept between commands.",
)  # fmt: skip


@click.group()
def classify() -> None:
    """Train, measure and apply page classifiers."""


@classify.command()
@click.argument("dump", type=EXISTING)
@click.option("--output", type=ANY_PATH, required=True, help="Cited URLs, as .jsonl or .jsonl.gz.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many articles.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Parsing processes.")
@speaks_plainly
def references(dump: Path, output: Path, limit: int | None, workers: int) -> None:
    """Write every URL that a Wikipedia dump cites: article, url, normalized key, kind, template."""
    from classifiers.data.tables import write_jsonl

    seen: Counter[str] = Counter()
    started = time.perf_counter()
    rows = (asdict(citation) for citation in _citations(dump, limit, workers, seen))
    found = write_jsonl(rows, output)
    speed = seen["bytes"] / max(time.perf_counter() - started, 1e-9)
    click.echo(f"{seen['articles']} articles, {found} cited URLs -> {output}")
    click.echo(
        f"{speed / 1e6:.2f} MB/s of wikitext with {workers} process(es); all English articles "
        f"({ENGLISH_DUMP / 1e9:.0f} GB) would take {ENGLISH_DUMP / max(speed, 1) / 3600:.1f} hours"
    )


def _citations(dump: Path, limit: int | None, workers: int, seen: Counter[str]) -> Iterator[Citation]:
    from classifiers.data.wikipedia_citations import articles, open_dump

    def counted(pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for title, text in pairs:
            if limit is not None and seen["articles"] >= limit:
                return
            seen["articles"] += 1
            seen["bytes"] += len(text.encode())
            yield title, text

    with open_dump(dump) as file:
        pairs = counted(articles(file, str(dump)))
        if workers == 1:
            for pair in pairs:
                yield from _parse([pair])
            return
        with ProcessPoolExecutor(workers) as pool:
            waiting: deque[Future[list[Citation]]] = deque()
            while batch := [pair for _, pair in zip(range(BATCH), pairs, strict=False)]:
                waiting.append(pool.submit(_parse, batch))
                if len(waiting) > 2 * workers:  # bounded: the reader is far faster than the parsers
                    yield from waiting.popleft().result()
            for future in waiting:
                yield from future.result()


def _parse(batch: Sequence[tuple[str, str]]) -> list[Citation]:
    from classifiers.data.wikipedia_citations import citations

    return [citation for title, text in batch for citation in citations(title, text)]


@classify.command()
@click.argument("index", type=EXISTING, nargs=-1, required=True)
@click.option("--references", type=EXISTING, required=True, help="Cited URLs (.jsonl of `references`, or .txt).")
@click.option(
    "--output",
    type=ANY_PATH,
    required=True,
    help="Parquet: warc_filename, warc_record_offset, warc_record_length, url, match.",
)
@click.option(
    "--by-host", is_flag=True, help="Also pages nobody cites on cited hosts, marked `host`: weaker, many more."
)
@speaks_plainly
def locate(index: tuple[Path, ...], references: Path, output: Path, by_host: bool) -> None:
    """Find cited pages in Common Crawl's columnar INDEX files, as byte ranges that `gristmill curate` reads."""
    import pyarrow.parquet as pq

    from classifiers.data.cited_urls import Cited
    from classifiers.data.common_crawl_index import SCHEMA
    from classifiers.data.common_crawl_index import locate as find
    from classifiers.training.sample_files import cited_urls

    partial, rows = output.with_name(f".{output.name}.partial"), 0
    with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for batch in find(index, Cited.of(cited_urls(references)), by_host):
            writer.write_batch(batch)
            rows += batch.num_rows
    partial.replace(output)
    click.echo(f"{rows} records of cited {'pages and hosts' if by_host else 'pages'} -> {output}")


@classify.command()
@click.argument("staged", type=EXISTING, nargs=-1, required=True)
@click.option("--references", type=EXISTING, help="Cited URLs (.jsonl of `references`, or .txt).")
@click.option("--match", type=click.Choice(["exact", "host"]), default="exact", show_default=True,
              help="`host` also takes pages nobody cites on cited hosts, marked: weaker, many more.")  # fmt: skip
@click.option("--positives", type=EXISTING, multiple=True, help="More positives: any JSONL or Parquet with `text`.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Cited and other documents of STAGED, about so many of each, by hash of their id.",
)
@click.option("--output", type=ANY_PATH, required=True, help="Labeled examples, as .jsonl or .jsonl.gz.")
@speaks_plainly
def sample(
    staged: tuple[Path, ...], references: Path | None, match: str, positives: tuple[Path, ...], limit: int | None,
    output: Path,
) -> None:  # fmt: skip
    """Draw training examples from STAGED documents: cited against not cited.

    STAGED are JSONL or Parquet files with url and text, or folders of them, such as the shards of a run.

    Classes are matched in length; train, validation and test are split by registered domain.
    """
    from classifiers.data.cited_urls import Match
    from classifiers.data.tables import write_jsonl
    from classifiers.training.sample_files import sample_examples, to_rows
    from classifiers.training.train import counts_of

    if references is None and not positives:
        raise ValueError("give --references, --positives, or both: something must be positive")
    examples = sample_examples(staged, references, positives, Match(match), limit)
    write_jsonl(to_rows(examples), output)
    click.echo(
        f"{len(examples)} examples -> {output}: " + ", ".join(f"{k} {v}" for k, v in counts_of(examples).items())
    )


@classify.command()
@click.argument("model", type=click.Choice(TRAINABLE))
@data_option
@work_option
@click.option("--sample", "examples", type=EXISTING, help="quality only: examples of `sample` instead of --data.")
@click.option("--match", type=click.Choice(["exact", "host"]), default="host", show_default=True,
              help="quality only: which pages of --data count as cited.")  # fmt: skip
@click.option("--keep", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5, show_default=True,
              help="quality only: share of validation rows above the threshold.")  # fmt: skip
@click.option("--output", type=ANY_PATH, required=True, help="Model folder to write.")
@speaks_plainly
def train(model: str, data: Path, work: Path, examples: Path | None, match: str, keep: float, output: Path) -> None:
    """Train MODEL and write its folder; the same data gives the same bytes."""
    from classifiers.data.cited_urls import Match
    from classifiers.training import train as trainers
    from classifiers.training.sample_files import from_file

    fitted: Any
    if examples is not None:
        if model != "quality":
            raise ValueError("--sample trains the quality model; domain and harm are trained from --data")
        command = f"gristmill classify train quality --sample {examples.name}"
        fitted = trainers.quality_from(from_file(examples), output, keep, command)
    elif not data.is_dir():
        raise ValueError(f"{data} is not there: name the folder of real pages with --data (or GRISTMILL_DATA)")
    elif model == "quality":
        fitted = trainers.quality(data, work, output, Match(match), keep)
    else:
        fitted = (trainers.domain if model == "domain" else trainers.harm)(data, work, output)
    manifest = fitted.artifact.manifest
    click.echo(f"{model} {manifest.version} -> {output}")
    for name, value in manifest.metrics.items():
        click.echo(f"  {name} {value:g}")
    if model == "quality":
        click.echo("what a score means (of the validation rows, half of them cited):")
        for row in manifest.calibration["validation"]:
            click.echo(f"  {row['score']:.2f}: {row['truth']:.0%} cited ({row['rows']} rows)")


def _models(quality: Path | None, domain: Path | None, harm: Path | None) -> Any:
    from classifiers.domain import load_domain_model
    from classifiers.evaluation.evaluate import Models
    from classifiers.harm import load_harm_model
    from classifiers.quality import load_quality_model

    return Models(load_quality_model(quality), load_domain_model(domain), load_harm_model(harm))


@classify.command()
@data_option
@work_option
@click.option("--quality", type=EXISTING, help="Model folder; the shipped one without it.")
@click.option("--domain", type=EXISTING, help="Model folder; the shipped one without it.")
@click.option("--harm", type=EXISTING, help="Model folder; the shipped one without it.")
@click.option("--output", type=ANY_PATH, required=True, help="Folder for report.md, numbers.json and plots.")
@speaks_plainly
def evaluate(
    data: Path, work: Path, quality: Path | None, domain: Path | None, harm: Path | None, output: Path
) -> None:
    """Measure the models on domains they never saw, and write tables and plots."""
    from classifiers.evaluation.evaluate import evaluate_all
    from classifiers.evaluation.report import write_report

    page = write_report(evaluate_all(_models(quality, domain, harm), data, work), output)
    click.echo(f"report -> {page}")


@classify.command()
@click.argument("model", type=click.Choice(TRAINABLE))
@click.argument("folder", type=EXISTING)
@data_option
@work_option
@click.option("--floors", type=EXISTING, help="Another file of floors than the pinned one.")
@click.option("--accept-worse", metavar="WHY", help="Let a worse model through; say why in words.")
@speaks_plainly
def gate(model: str, folder: Path, data: Path, work: Path, floors: Path | None, accept_worse: str | None) -> None:
    """Refuse the MODEL in FOLDER (exit 1) when it is worse than the pinned floors on the pinned test rows."""
    from classifiers.evaluation.gate import FLOORS, complaints, load_floors

    found = complaints(model, _numbers_of(model, folder, data, work), load_floors(floors or FLOORS))
    for line in found:
        click.echo(line, err=True)
    if found and not (accept_worse or "").strip():
        raise click.ClickException(f"{folder} is refused; --accept-worse WHY lets it through")
    click.echo(f"{folder} passes" + (f", although worse: {accept_worse}" if found else ""))


def _numbers_of(model: str, folder: Path, data: Path, work: Path) -> dict[str, Any]:
    from classifiers.data.cited_urls import Match
    from classifiers.evaluation import evaluate as measures
    from classifiers.training.recipe_quality import examples as quality_examples

    chosen = {name: folder if name == model else None for name in TRAINABLE}
    models = _models(**chosen)
    if model == "quality":
        return measures.evaluate_quality(models.quality, quality_examples(data, work, Match.HOST), data)
    if model == "domain":
        return measures.evaluate_domain(models.domain, data, work)
    return measures.evaluate_harm(models.harm, data, work)


@classify.command()
@click.argument("model", type=click.Choice(["quality", "domain", "language", "harm"]))
@click.argument("file", type=EXISTING)
@click.option("--model", "folder", type=EXISTING, help="Model folder; the shipped one without it.")
@click.option("--output", type=ANY_PATH, required=True, help=".jsonl, .jsonl.gz or .parquet.")
@speaks_plainly
def score(model: str, file: Path, folder: Path | None, output: Path) -> None:
    """Write FILE (JSONL or Parquet with a `text` column) again with the MODEL's scores, in a stream."""
    from classifiers.data.tables import add_columns

    rows = add_columns(file, output, _scorer(model, folder, file))
    click.echo(f"{rows} rows -> {output}")


def _scorer(model: str, folder: Path | None, file: Path) -> Callable[[list[dict[str, Any]]], dict[str, list[Any]]]:
    from classifiers.data.tables import texts_of

    if model == "domain":
        from classifiers.domain import load_domain_model

        tagger = load_domain_model(folder)

        def tag(batch: list[dict[str, Any]]) -> dict[str, list[Any]]:
            heads = [(str(row.get("url") or ""), str(row.get("title") or "")) for row in batch]
            items = [(*head, text) for head, text in zip(heads, texts_of(batch, file), strict=True)]
            topics, kinds = tagger.tag(items), tagger.kind(items)
            return {
                "domain": [t for t, _ in topics], "domain_score": [p for _, p in topics],
                "kind": [k for k, _ in kinds], "kind_score": [p for _, p in kinds],
            }  # fmt: skip

        return tag
    if model == "language":
        from classifiers.language import load_language_model

        identify = load_language_model(folder).score

        def name_language(batch: list[dict[str, Any]]) -> dict[str, list[Any]]:
            found = identify(texts_of(batch, file))
            return {"language": [name for name, _ in found], "language_score": [p for _, p in found]}

        return name_language
    from classifiers.harm import load_harm_model
    from classifiers.quality import load_quality_model

    scorer = load_quality_model(folder) if model == "quality" else load_harm_model(folder)
    return lambda batch: {f"{model}_score": scorer.score(texts_of(batch, file))}


@classify.command()
@click.argument("file", type=EXISTING)
@click.option("--license", required=True, help="License of the model file.")
@click.option("--source", required=True, help="Where it is from and what it was trained on.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.65, show_default=True)
@click.option("--output", type=ANY_PATH, required=True, help="Model folder to write.")
@speaks_plainly
def pack(file: Path, license: str, source: str, threshold: float, output: Path) -> None:
    """Pack another fastText language model FILE as a folder that `curate` and `score language --model` take."""
    from classifiers.language import pack as pack_language

    manifest = pack_language(file, output, license, source, threshold)
    click.echo(f"{len(manifest.labels['language'])} languages -> {output}")
