"""Datasets of real pages to train on, for the benchmarks of the trainer: curated, FineWeb-like and raw.

    python -m tests.benchmarks.training_data --output FOLDER [--datasets curated fineweb-like raw]

All come from the same pages of GRISTMILL_DATA (default ../shared/data). Curated is the preset `english`, FineWeb-like
the preset of that name; raw is all text of every page, as in a WET file, with no page dropped and all of weight 1. A
finished dataset is kept, so the benchmarks can share a folder.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard
from resiliparse.extract.html2text import extract_plain_text

from classifiers.data.wikitext import plain_text
from pipeline.config import Config
from pipeline.documents import Page
from pipeline.extraction.charset import decode
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import read_unit
from tests.benchmarks import data_folder
from tests.trainer.curated import write_dataset
from trainer.data.curated_dataset import open_dataset
from trainer.data.tokenizer import TOKENIZER_FILE, TokenizerSettings, train_tokenizer

WARCS = (
    "newspaper-family-00000",
    "trafilatura-00000",
    "autopager-00000",
    "webstruct-00000",
    "recipe-scrapers-00001",
    "webkb-00000",
    "webkb-00001",
)
PAGES = "extraction/wcxb-dev.jsonl.zst"  # HTML of pages with their gold text, which is not read
PRESETS = {"curated": "english", "fineweb-like": "fineweb-like"}


def prepare_datasets(folder: Path, names: Sequence[str], vocab_size: int = 1024) -> dict[str, Path]:
    """The datasets by name, and a tokenizer of them all beside them; what is finished is kept."""
    for name in names:
        if not (folder / name / "manifest.json").exists():
            _make_raw(folder / name) if name == "raw" else _curate(folder / name, PRESETS[name])
    paths = {name: folder / name for name in names}
    if not (folder / TOKENIZER_FILE).exists():
        texts = [text for path in paths.values() for text in texts_of(path)]
        settings = TokenizerSettings(vocab_size=vocab_size, sentinels=0, reserved=0, placeholders=())
        train_tokenizer(texts, settings).save(folder / TOKENIZER_FILE)
    return paths


def texts_of(dataset: Path) -> list[str]:
    """Every document's text."""
    tables = [pq.read_table(shard.path, columns=["text"]) for shard in open_dataset(str(dataset)).shards]
    return [text for rows in tables for text in rows.column("text").to_pylist()]


def evaluation_texts(folder: Path, count: int) -> dict[str, Path]:
    """Text that no dataset has: English articles of Wikipedia, without their markup, and passages of novels."""
    articles = (plain_text(row["text"]) for row in read_lines("wiki/articles.jsonl.gz") if row["lang"] == "en")
    novels = (f"{row['context']} {row['continuation']}" for row in read_lines("trainer/eval/lambada_openai.jsonl.gz"))
    found = {}
    for name, texts in (("Wikipedia", articles), ("novels", novels)):
        rows = [json.dumps({"text": text[:2000]}) + "\n" for text in islice(texts, count)]
        found[name] = folder / f"{name}.jsonl"
        found[name].write_text("".join(rows), "utf-8")
    return found


def read_lines(name: str) -> Iterator[dict[str, Any]]:
    """Rows of a JSON Lines file of the folder of real pages."""
    with gzip.open(data_folder() / name, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _inputs() -> list[str]:
    return [*(str(data_folder() / "warc" / f"{name}.warc.gz") for name in WARCS), str(data_folder() / PAGES)]


def _curate(output: Path, preset: str) -> None:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "curate", *_inputs()]
    command += ["--preset", preset, "--set", "read_documents.text=none", "--workers", "1", "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _make_raw(output: Path) -> None:
    write_dataset(output, list(_raw_rows()), 4)


def _raw_rows() -> Iterator[dict[str, Any]]:
    """Every page with all of its text."""
    *warcs, pages = _inputs()
    for unit in cut_units(resolve_inputs(warcs, prefix=None, limit=None), 10**12):
        for page in read_unit(unit, Config().read_warc):
            if isinstance(page, Page):
                text = extract_plain_text(decode(page.content, page.http_charset)[0])
                places = {"url": page.url, "warc_file": page.warc_file, "warc_offset": page.warc_offset}
                yield {"id": page.id, **places, "text": text, "characters": len(text), "weight": 1.0}
    with zstandard.open(pages, "rb") as file:
        for line in io.TextIOWrapper(file, encoding="utf-8"):
            row = json.loads(line)
            text = extract_plain_text(row["html"])
            yield {"id": row["id"], "url": row["url"], "text": text, "characters": len(text), "weight": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--datasets", nargs="+", default=["curated"], choices=["curated", "fineweb-like", "raw"])
    options = parser.parse_args()
    for name, path in prepare_datasets(options.output, options.datasets).items():
        texts = texts_of(path)
        print(f"{name}: {len(texts):,} documents, {sum(map(len, texts)):,} characters")


if __name__ == "__main__":
    main()
