"""Compare models trained on curated and on raw pages: the same small model, equal tokens, several seeds.

    python -m tests.benchmarks.ablation [--files 4] [--seeds 3] [--steps 400]

Both datasets come from the same WARC files of real pages (GRISTMILL_DATA, default ../shared/data). Curated is the
output of `gristmill curate`; raw is all text of every page, as in a WET file, with no page dropped and all of weight 1.
Models are evaluated in bits per byte on text that neither dataset holds, Wikipedia articles and novels, and on the
held-out pages of both.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
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
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.studies.ablation import ablate, format_ablation
from trainer.tasks.pretrain_settings import read_pretrain_settings

FILES = ("newspaper-family-00000", "trafilatura-00000", "autopager-00000", "webstruct-00000", "recipe-scrapers-00001")


def raw_rows(files: list[str]) -> Iterator[dict[str, Any]]:
    """Every page with all of its text."""
    for unit in cut_units(resolve_inputs(files, prefix=None, limit=None), 10**12):
        for page in read_unit(unit, Config().read_warc):
            if isinstance(page, Page):
                text = extract_plain_text(decode(page.content, page.http_charset)[0])
                places = {"url": page.url, "warc_file": page.warc_file, "warc_offset": page.warc_offset}
                yield {"id": page.id, **places, "text": text, "characters": len(text), "weight": 1.0}


def evaluation_texts(folder: Path, count: int) -> dict[str, Path]:
    """Text that neither dataset has: English articles of Wikipedia, without their markup, and passages of novels."""
    articles = (plain_text(row["text"]) for row in _lines("wiki/articles.jsonl.gz") if row["lang"] == "en")
    novels = (f"{row['context']} {row['continuation']}" for row in _lines("trainer/eval/lambada_openai.jsonl.gz"))
    found = {}
    for name, texts in (("Wikipedia", articles), ("novels", novels)):
        rows = [json.dumps({"text": text[:2000]}) + "\n" for text in islice(texts, count)]
        found[name] = folder / f"{name}.jsonl"
        found[name].write_text("".join(rows), "utf-8")
    return found


def _lines(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(data_folder() / name, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def texts_of(dataset: Path) -> list[str]:
    tables = [pq.read_table(shard.path, columns=["text"]) for shard in open_dataset(str(dataset)).shards]
    return [text for rows in tables for text in rows.column("text").to_pylist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4, help="number of WARC files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    files = [str(data_folder() / "warc" / f"{name}.warc.gz") for name in FILES[: options.files]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", "curate", *files]
        subprocess.run([*command, "--output", str(folder / "curated")], check=True, stdout=subprocess.DEVNULL)
        write_dataset(folder / "raw", list(raw_rows(files)), 4)
        both = {kind: texts_of(folder / kind) for kind in ("raw", "curated")}
        for kind, texts in both.items():
            print(f"{kind}: {len(texts):,} documents, {sum(map(len, texts)):,} characters")
        tokenizer = train_tokenizer([*both["raw"], *both["curated"]], TokenizerSettings(vocab_size=4096))
        tokenizer.save(folder / "tokenizer.json")
        changes = [f"loop.steps={options.steps}", f"data.cache={folder}/tokens", "loop.validate_every=100000"]
        run_settings = read_pretrain_settings("tiny", changes, tokenizer=folder / "tokenizer.json")
        named = {kind: str(folder / kind) for kind in both}
        found = ablate(
            run_settings, named, folder / "runs", options.seeds, evaluation_texts(folder, 100), documents=100
        )
        print(format_ablation(named, found))


if __name__ == "__main__":
    main()
