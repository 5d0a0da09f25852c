"""Which data makes the better model? The same small model on equal tokens of each dataset, several seeds.

    python -m tests.benchmarks.ablation [--data FOLDER] [--datasets fineweb-like raw] [--seeds 3] [--steps 400]

All datasets come from the same pages (`training_data.py`). Curated documents read by their weights are compared with
the same documents without weights, with a FineWeb-like selection of the same pages, and with all text of all pages.
Models are evaluated in bits per byte on text that no dataset holds, Wikipedia articles and novels, and on the held-out
pages of each.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.training_data import evaluation_texts, prepare_datasets
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.studies.ablation import ablate, format_ablation
from trainer.tasks.pretrain_settings import read_pretrain_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of training_data.py; also keeps the runs")
    parser.add_argument("--datasets", nargs="*", default=["fineweb-like", "raw"], choices=["fineweb-like", "raw"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--documents", type=int, default=100, help="of each set of texts")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="setting of the model or the run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.data or Path(name)
        paths = prepare_datasets(folder, ["curated", *options.datasets])
        named = {"curated": str(paths["curated"]), "unweighted": str(paths["curated"])}
        named |= {dataset: str(paths[dataset]) for dataset in options.datasets}
        changes = [f"loop.steps={options.steps}", f"data.cache={folder}/tokens", "loop.validate_every=100000"]
        changes += ["loop.threads=1", "loop.precision=float32", *options.changes]
        run_settings = read_pretrain_settings("tiny", changes, tokenizer=folder / TOKENIZER_FILE)
        texts, count = evaluation_texts(folder, options.documents), options.documents
        found = ablate(run_settings, named, folder / "ablation", options.seeds, texts, count, unweighted=["unweighted"])
        print(format_ablation(named, found))


if __name__ == "__main__":
    main()
