"""Commands about retrieval: build a chunk database, ask it, measure what it is worth to a model that reads it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from trainer.commands.group import EXISTING_RUN, FOLDER, escape_controls, key_option, pick_device, table_option, train

DATABASE = click.Path(exists=True, file_okay=False, path_type=Path)


@train.group("retrieve", short_help="Chunks of documents: build, query.")
def retrieve_group() -> None:
    """Find passages in curated documents by the nearness of their embeddings."""


@retrieve_group.command("build", short_help="Cut and embed a dataset.")
@click.argument("data", metavar="DATASET")
@click.option("--output", type=FOLDER, required=True, help="New folder for the database.")
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), required=True, help="tokenizer.json, its folder, or a run."
)
@click.option("--cache", type=FOLDER, help="Folder for the token files; tokens/ in GRISTMILL_CACHE or ~/.cache.")
@key_option("chunk_tokens=64, embedder=run, model=RUN, faiss=true, ...")
def build_command(data: str, output: Path, tokenizer: Path, cache: Path | None, changes: tuple[str, ...]) -> None:
    """Cut the documents of DATASET (output of gristmill curate) into chunks, embed them, and write a database.

    Embeddings: hashed TF-IDF without a model, the hidden states of a run, or an encoder of Hugging Face in a local
    folder (`gristmill train settings --of retrieve`). Documents that runs hold out to evaluate on are left out.
    """
    from trainer.config import read_config
    from trainer.data.sources import DataSettings, SourceSettings, is_held_out, load_corpus
    from trainer.data.tokenizer import load_tokenizer
    from trainer.files import check_output, is_run
    from trainer.retrieval.chunk_database import ChunkSettings, build_database
    from trainer.training.checkpoint import find_checkpoint

    settings = read_config(ChunkSettings, None, changes)
    check_output(output)
    opened = load_tokenizer(find_checkpoint(tokenizer) if is_run(tokenizer) else tokenizer)
    sources = {"web": SourceSettings(path=data)}
    progress = sys.stderr.isatty()
    corpus = load_corpus(DataSettings(sources=sources, cache=cache), opened, progress=progress)
    kept = corpus.select(~is_held_out(corpus, settings.held_out))
    built = build_database(kept, opened, settings, output, progress=progress)
    size = built.embeddings.shape[1]
    click.echo(
        f"{output}: {len(built):,} chunks of {len(built.key):,} documents, {settings.embedder} embeddings of {size}"
    )


@retrieve_group.command("query", short_help="Find passages.")
@click.argument("database", type=DATABASE)
@click.argument("texts", nargs=-1, required=True)
@click.option("-k", "--passages", type=click.IntRange(1, 1000), default=5, show_default=True, help="For each text.")
@click.option("--exact", is_flag=True, help="Compare every chunk, also where there is an index of FAISS.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def query_command(database: Path, texts: tuple[str, ...], passages: int, exact: bool, as_json: bool) -> None:
    """Print the chunks of DATABASE nearest to each of TEXTS, with similarity, URL and place."""
    from trainer.retrieval.chunk_database import open_database

    found = open_database(database).find(texts, passages, exact=exact)
    if as_json:
        click.echo(json.dumps([[passage._asdict() for passage in row] for row in found], indent=1))
        return
    for text, row in zip(texts, found, strict=True):
        click.echo(escape_controls(text))
        for passage in row:
            quoted = " ".join(passage.text.split())
            source = passage.url or passage.document
            click.echo(
                escape_controls(f"  {passage.score:.3f}  {source} (token {passage.offset:,})\n         {quoted}")
            )


@retrieve_group.command("gain", short_help="Bits per byte that neighbors save.")
@click.argument("run", type=EXISTING_RUN)
@click.option("--batches", type=click.IntRange(1), help="Batches of held-out text; all of it if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@table_option
def gain_command(run: Path, batches: int | None, as_json: bool, changes: tuple[str, ...]) -> None:
    """Measure the held-out text of RUN, whose model reads neighbors (model.retro), with them and without.

    Neighbors that hold the text to predict would make a copy of it look like a gain: the rows below the first are of
    chunks of whose 8-grams at most so many stand in their neighbors.
    """
    from trainer.errors import UserError
    from trainer.evaluation.neighbor_gain import format_gains, measure_gain
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.saved_model import load_decoder

    settings = read_pretrain_settings(str(run), changes)
    if settings.model.retro is None:
        raise UserError(f"{run}: its model reads no neighbors; train one with model.retro")
    opened = open_pretrain_inputs(settings)
    if opened.validation is None or opened.neighbors is None:
        raise UserError("no document is held out to measure on; raise data.held_out")
    size = settings.data.batch_size * settings.data.sequence_length
    count = batches or -(-opened.validation.corpus.tokens // size)
    model, progress = load_decoder(run, pick_device()), sys.stderr.isatty()
    gains = measure_gain(model, opened.validation, opened.neighbors, opened.tokenizer, count, progress=progress)
    rows = [{**part._asdict(), "gain": part.gain} for part in gains]
    click.echo(json.dumps(rows, indent=1) if as_json else format_gains(gains))
