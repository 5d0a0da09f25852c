"""`gristmill classify`: train, evaluate and apply the models. Each command imports what it needs when it is called."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classifiers.errors import ModelRefusedError, UserError
from classifiers.outputs import cache_folder, check_folder, check_new_file, partial_file, partial_folder

if TYPE_CHECKING:
    from classifiers.artifacts import Manifest
    from classifiers.data.page_text import PageExtractor
    from classifiers.data.source_pages import Sources
    from classifiers.data.wikipedia_citations import Citation

LoadExtractor = Callable[[], "PageExtractor"]
EXISTING = click.Path(exists=True, path_type=Path)
ANY_PATH = click.Path(path_type=Path)
TRAINABLE = ("quality", "education", "domain", "harm", "extraction")
EVALUATED = ("quality", "education", "domain", "harm")
GATED = (*EVALUATED, "extraction")
ENGLISH_DUMP = 100e9  # bytes of XML in a dump of all English articles, late 2025
BATCH = 50  # articles per task of a worker process


data_option = click.option(
    "--data", type=click.Path(path_type=Path), default=Path("../shared/data"), envvar="GRISTMILL_DATA",
    show_default=True,
    help="Folder of real pages that the shipped models are trained on (GRISTMILL_DATA).",
)  # fmt: skip
work_option = click.option(
    "--work", type=ANY_PATH, default=lambda: cache_folder("classify"),
    show_default="classify/ in GRISTMILL_CACHE or ~/.cache/gristmill",
    help="Cache of extracted text, shared by the commands.",
)  # fmt: skip


@click.group()
def classify() -> None:
    """Train, measure and apply page classifiers."""


def _sources(load_extractor: LoadExtractor | None, data: Path, work: Path) -> Sources:
    """The folder of real pages. `gristmill` hands over the extraction of its pipeline as click's object."""
    from classifiers.data.source_pages import Sources

    _check_data(data)
    if load_extractor is None:
        raise UserError("pages cannot be extracted here: call `gristmill classify`")
    return Sources(data, work, load_extractor())


def _check_data(data: Path) -> Path:
    if not data.is_dir():
        raise UserError(f"{data} does not exist: name the folder of real pages with --data (or GRISTMILL_DATA)")
    return data


@classify.command()
@click.argument("dump", type=EXISTING)
@click.option("--output", type=ANY_PATH, required=True, help="Cited URLs, as .jsonl or .jsonl.gz.")
@click.option("--limit", type=click.IntRange(min=1), help="Read only the first N articles.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Parsing processes.")
def references(dump: Path, output: Path, limit: int | None, workers: int) -> None:
    """List the URLs that a Wikipedia dump cites.

    One row for each URL: article, url, normalized key, kind of citation, citation template.
    """
    from classifiers.data.tables import require_any, write_jsonl

    check_new_file(output, [dump])
    seen: Counter[str] = Counter()
    started = time.perf_counter()
    rows = (asdict(citation) for citation in _citations(dump, limit, workers, seen))
    problem = f"{dump}: no article cites a URL, so {output} was not written; give a dump of articles"
    found = write_jsonl(require_any(rows, problem), output)
    speed = seen["bytes"] / max(time.perf_counter() - started, 1e-9)
    left_out = f", {seen['too long']} left out (longer than MediaWiki allows)" if seen["too long"] else ""
    click.echo(f"{seen['articles']} articles{left_out}, {found} cited URLs -> {output}")
    click.echo(
        f"{speed / 1e6:.2f} MB/s of wikitext with {workers} process(es); all English articles "
        f"({ENGLISH_DUMP / 1e9:.0f} GB) would take {ENGLISH_DUMP / max(speed, 1) / 3600:.1f} hours"
    )


def _citations(dump: Path, limit: int | None, workers: int, seen: Counter[str]) -> Iterator[Citation]:
    from classifiers.data.wikipedia_dump import articles, open_dump

    def count_articles(pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for title, text in pairs:
            if limit is not None and seen["articles"] >= limit:
                return
            seen["articles"] += 1
            seen["bytes"] += len(text.encode())
            yield title, text

    with open_dump(dump) as file:
        pairs = count_articles(articles(file, str(dump), lambda _: seen.update(["too long"])))
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
    "--by-host", is_flag=True, help="Also uncited pages on cited hosts, marked `host`: a weaker label, many more pages."
)
def locate(index: tuple[Path, ...], references: Path, output: Path, by_host: bool) -> None:
    """Find cited pages in Common Crawl's index.

    INDEX are files of the columnar index (Parquet). The output names byte ranges that `gristmill curate` reads.
    """
    import pyarrow.parquet as pq

    from classifiers.data.cited_urls import Cited
    from classifiers.data.common_crawl_index import SCHEMA, locate_cited_pages
    from classifiers.data.tables import require_any
    from classifiers.training.sample_files import cited_urls

    check_new_file(output, [*index, references])
    rows = 0
    batches = require_any(
        locate_cited_pages(index, Cited.of(cited_urls(references)), by_host),
        f"{index[0]}: no page of the index is cited in {references}, so {output} was not written; give more files of "
        f"the index{'' if by_host else ', or --by-host'}",
    )
    with partial_file(output) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    click.echo(f"{rows} records of cited {'pages and hosts' if by_host else 'pages'} -> {output}")


@classify.command()
@click.argument("staged", type=EXISTING, nargs=-1, required=True)
@click.option("--references", type=EXISTING, help="Cited URLs (.jsonl of `references`, or .txt).")
@click.option("--match", type=click.Choice(["exact", "host"]), default="exact", show_default=True,
              help="`host`: also uncited pages on cited hosts, marked: a weaker label, many more pages.")  # fmt: skip
@click.option("--positives", type=EXISTING, multiple=True, help="More positives: any JSONL or Parquet with `text`.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="About N cited and N other documents of STAGED, chosen by hash of their id.",
)
@click.option("--output", type=ANY_PATH, required=True, help="Labeled examples, .jsonl or .jsonl.gz.")
def sample(
    staged: tuple[Path, ...], references: Path | None, match: str, positives: tuple[Path, ...], limit: int | None,
    output: Path,
) -> None:  # fmt: skip
    """Draw training examples from documents.

    Documents that Wikipedia cites are labeled `cited`, the others `crawl`. STAGED are JSONL or Parquet files with url
    and text, or folders of them, such as the shards of a run. Classes are matched in length; train, validation and test
    are split by registered domain.
    """
    from classifiers.data.cited_urls import Match
    from classifiers.data.tables import write_jsonl
    from classifiers.training.sample_files import sample_examples, to_rows
    from classifiers.training.shipped_models import count_by_label

    if references is None and not positives:
        raise click.UsageError("give --references, --positives, or both: training needs positives")
    check_new_file(output, [*staged, *positives, *([references] if references else [])])
    examples = sample_examples(staged, references, positives, Match(match), limit)
    write_jsonl(to_rows(examples), output)
    click.echo(
        f"{len(examples)} examples -> {output}: " + ", ".join(f"{k} {v}" for k, v in count_by_label(examples).items())
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
@click.pass_obj
def train(
    load_extractor: LoadExtractor | None, model: str, data: Path, work: Path, examples: Path | None, match: str,
    keep: float, output: Path,
) -> None:  # fmt: skip
    """Train a model.

    It writes the folder of MODEL; the same data gives the same bytes.
    """
    from classifiers.artifacts import MANIFEST, written_files
    from classifiers.data.cited_urls import Match
    from classifiers.training.sample_files import read_examples
    from classifiers.training.shipped_models import (
        train_domain_model,
        train_education_model,
        train_extraction_model,
        train_harm_model,
        train_quality,
        train_quality_on,
    )

    check_folder(output, lambda folder: written_files(folder, model))
    fitted: Any
    with partial_folder(output, MANIFEST) as folder:
        if examples is not None:
            if model != "quality":
                raise click.UsageError("--sample trains the quality model; the others are trained from --data")
            command = f"gristmill classify train quality --sample {examples.name}"
            fitted = train_quality_on(read_examples(examples), folder, keep, command)
        elif model == "extraction":
            fitted = train_extraction_model(_check_data(data), folder)
        else:
            sources = _sources(load_extractor, data, work)
            by_name = {"education": train_education_model, "domain": train_domain_model, "harm": train_harm_model}
            if model == "quality":
                fitted = train_quality(sources, folder, Match(match), keep)
            else:
                fitted = by_name[model](sources, folder)
    _echo_metrics(model, fitted.artifact.manifest, output)


def _echo_metrics(model: str, manifest: Manifest, output: Path) -> None:
    click.echo(f"{model} {manifest.version} -> {output}")
    for name, value in manifest.metrics.items():
        click.echo(f"  {name} {value:g}")
    if model in ("quality", "education"):
        click.echo("mean label by score of text alone, of domains unseen in training, both from 0 to 1:")
        for row in manifest.calibration["test"]["text"]:
            click.echo(f"  {row['score']:.2f}: {row['truth']:.2f} ({row['rows']} rows)")


def _load_models(
    quality: Path | None = None, education: Path | None = None, domain: Path | None = None, harm: Path | None = None
) -> Any:
    from classifiers.domain import load_domain_model
    from classifiers.education import load_education_model
    from classifiers.evaluation.evaluate import Models
    from classifiers.harm import load_harm_model
    from classifiers.quality import load_quality_model

    return Models(
        load_quality_model(quality), load_education_model(education), load_domain_model(domain), load_harm_model(harm)
    )


@classify.command()
@data_option
@work_option
@click.option("--quality", type=EXISTING, help="Model folder; default: the shipped one.")
@click.option("--education", type=EXISTING, help="Model folder; default: the shipped one.")
@click.option("--domain", type=EXISTING, help="Model folder; default: the shipped one.")
@click.option("--harm", type=EXISTING, help="Model folder; default: the shipped one.")
@click.option("--nested", is_flag=True, help="Also the quality recipe by nested cross-validation: it trains 30 times.")
@click.option("--output", type=ANY_PATH, required=True, help="Folder for report.md, numbers.json and plots.")
@click.pass_obj
def evaluate(
    load_extractor: LoadExtractor | None, /, data: Path, work: Path, output: Path, *, nested: bool,
    **models: Path | None,
) -> None:  # fmt: skip
    """Measure the models on unseen domains.

    It writes tables and plots.
    """
    from classifiers.evaluation.evaluate import evaluate_all
    from classifiers.evaluation.report import NUMBERS, PAGE, write_report, written_files

    check_folder(output, written_files)
    sources = _sources(load_extractor, data, work)
    numbers = evaluate_all(_load_models(**models), sources)
    if nested:
        from classifiers.evaluation.evaluate_nested import evaluate_nested

        numbers["quality"]["nested"] = evaluate_nested(sources)
    with partial_folder(output, NUMBERS) as folder:
        write_report(numbers, folder)
    click.echo(f"report -> {output / PAGE}")


@classify.command()
@click.argument("model", type=click.Choice(GATED))
@click.argument("folder", type=EXISTING)
@data_option
@work_option
@click.option("--floors", type=EXISTING, help="JSON file of floors; default: the pinned one.")
@click.option("--accept-worse", metavar="WHY", help="Accept a model below its floors, for this reason.")
@click.pass_obj
def gate(
    load_extractor: LoadExtractor | None, model: str, folder: Path, data: Path, work: Path, floors: Path | None,
    accept_worse: str | None,
) -> None:  # fmt: skip
    """Refuse a model that is below its floors.

    The MODEL in FOLDER is measured on the pinned test rows; exit code 3 when a metric is below its pinned minimum.
    """
    from classifiers.evaluation.gate import FLOORS, find_failures, load_floors

    if model == "extraction":
        numbers = _measure_extraction(folder, data)
    else:
        numbers = _measure(model, folder, _sources(load_extractor, data, work))
    found = find_failures(model, numbers, load_floors(floors or FLOORS))
    for line in found:
        click.echo(line, err=True)
    if found and not (accept_worse or "").strip():
        raise ModelRefusedError(f"{folder} is refused; --accept-worse WHY accepts it")
    click.echo(f"{folder} passes" + (f", although worse: {accept_worse}" if found else ""))


def _measure(model: str, folder: Path, sources: Sources) -> dict[str, Any]:
    from classifiers.evaluation import evaluate

    models = _load_models(**{model: folder})
    measure: Callable[[Any, Sources], dict[str, Any]] = getattr(evaluate, f"evaluate_{model}")
    return measure(getattr(models, model), sources)


def _measure_extraction(folder: Path, data: Path) -> dict[str, Any]:
    try:
        from classifiers.evaluation.evaluate_extraction import evaluate_extraction
    except ModuleNotFoundError as error:
        raise UserError(f"measuring extraction needs {error.name}: install gristmill[extraction-training]") from error
    from classifiers.extraction.model import load_extraction_model

    return evaluate_extraction(load_extraction_model(folder), data)


@classify.command()
@click.argument("model", type=click.Choice(["quality", "education", "domain", "language", "harm"]))
@click.argument("file", type=EXISTING)
@click.option("--folder", type=EXISTING, help="Model folder; default: the shipped one.")
@click.option("--output", type=ANY_PATH, required=True, help=".jsonl, .jsonl.gz or .parquet.")
def score(model: str, file: Path, folder: Path | None, output: Path) -> None:
    """Add a model's scores to the rows of a file.

    FILE is JSONL or Parquet with a `text` column; the domain model also reads `title`. Rows are streamed.
    """
    from classifiers.data.tables import add_columns
    from classifiers.score_columns import load_scorer

    check_new_file(output, [file])
    rows = add_columns(file, output, load_scorer(model, folder, file))
    click.echo(f"{rows} rows -> {output}")


@classify.command()
@click.argument("file", type=EXISTING)
@click.option("--license", required=True, help="License of the model file.")
@click.option("--source", required=True, help="Origin of the model, and what it was trained on.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.65, show_default=True, help="Lowest score that counts."
)
@click.option("--output", type=ANY_PATH, required=True, help="Model folder to write.")
def pack(file: Path, license: str, source: str, threshold: float, output: Path) -> None:
    """Package a fastText language model.

    FILE becomes a model folder for the setting identify_language.model and for `score language --folder`.
    """
    from classifiers.artifacts import MANIFEST, written_files
    from classifiers.language import NAME, pack_language_model

    check_folder(output, lambda folder: written_files(folder, NAME), [file])
    with partial_folder(output, MANIFEST) as folder:
        manifest = pack_language_model(file, folder, license, source, threshold)
    click.echo(f"{len(manifest.labels['language'])} languages -> {output}")
