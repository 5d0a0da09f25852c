"""Commands about retrieval: build a chunk database, ask it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from trainer.commands.group import FOLDER, escape_controls, key_option, train

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
