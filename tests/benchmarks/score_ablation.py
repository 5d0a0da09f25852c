"""Do the scores pay? The same small model on equal tokens of the same kept pages, weighted in five ways.

    python -m tests.benchmarks.score_ablation [--data FOLDER] [--seeds 3] [--steps 1000] [--cut 0.25]

all: every kept page of weight 1. quality, education, both: `publish.weights.score`, without target shares of domains.
cut: the pages with the highest education scores, a share of the words, of weight 1, as FineWeb-Edu cuts. The pages are
the curated ones of `training_data.py`. Models are evaluated in bits per byte on novels, Wikipedia articles, question
files (MMLU, ARC) and held-out pages of each; differences from `all` with 90% intervals over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from pipeline.publishing.weights import Score, WeightSettings, cell_of, weight_table
from tests.benchmarks.training_data import evaluation_texts, prepare_datasets, read_lines
from tests.trainer.curated import write_dataset
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.studies.ablation import ablate, format_ablation
from trainer.tasks.pretrain_settings import read_pretrain_settings

SCORES: tuple[Score, ...] = ("quality", "education", "both")
SHARDS = 4
ANSWERS = "ABCD"
Rows = list[dict[str, Any]]


def weigh(rows: Rows, score: Score) -> Rows:
    """The rows with the weights that a run with this setting gives them."""
    words: dict[Any, int] = {}
    for row in rows:
        words[cell_of(row)] = words.get(cell_of(row), 0) + row["words"]
    table = weight_table(words, WeightSettings(shares=None, score=score))
    return [row | {"weight": table[cell_of(row)]} for row in rows]


def cut(rows: Rows, share: float) -> Rows:
    """The rows with the highest education scores that have this share of the words, in their order."""
    ranked = sorted(rows, key=lambda row: (-row["education_score"], row["id"]))
    limit, kept, seen = share * sum(row["words"] for row in rows), set(), 0
    for row in ranked:
        if seen < limit:
            kept.add(row["id"])
            seen += row["words"]
    return [row | {"weight": 1.0} for row in rows if row["id"] in kept]


def question_texts() -> Iterator[str]:
    """Questions with their right answers, of ARC and of MMLU in turn."""
    arc = (f"{row['query']} {row['choices'][row['gold']]}" for row in read_lines("trainer/eval/arc_easy.jsonl.gz"))
    rows = (row for row in read_lines("trainer/eval/mmlu.jsonl.gz") if row["answer"].isdigit())
    mmlu = (f"{row['question']} {row['choices'][int(row['answer'])]}" for row in rows)
    for pair in zip(arc, mmlu, strict=False):
        yield from pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of training_data.py")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=100, help="of each set of texts")
    parser.add_argument("--cut", type=float, default=0.25, help="share of the words that the arm `cut` keeps")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = options.data or folder
        curated = prepare_datasets(data, ["curated"])["curated"]
        columns = ["id", "url", "text", "language", "quality_score", "education_score", "domain", "words", "characters"]
        rows: Rows = ds.dataset(curated / "shards").to_table(columns=columns).to_pylist()
        sets = {"all": [row | {"weight": 1.0} for row in rows]}
        sets |= {score: weigh(rows, score) for score in SCORES} | {"cut": cut(rows, options.cut)}
        arms = {arm: str(write_dataset(folder / "arms" / arm, kept, SHARDS)) for arm, kept in sets.items()}
        for arm, kept in sets.items():
            print(f"{arm}: {len(kept):,} documents, {sum(row['words'] for row in kept):,} words")
        texts = evaluation_texts(folder, options.documents) | {"questions": folder / "questions.jsonl"}
        lines = (json.dumps({"text": text}) + "\n" for text in islice(question_texts(), options.documents))
        texts["questions"].write_text("".join(lines), "utf-8")
        changes = [f"loop.steps={options.steps}", f"data.cache={folder}/tokens", "loop.validate_every=100000"]
        changes += ["loop.threads=1", "loop.precision=float32"]
        settings = read_pretrain_settings("tiny", changes, tokenizer=data / TOKENIZER_FILE)
        found = ablate(settings, arms, folder / "runs", options.seeds, texts, documents=options.documents)
        print(format_ablation(arms, found))


if __name__ == "__main__":
    main()
