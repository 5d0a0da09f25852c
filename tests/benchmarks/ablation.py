"""Which data makes the better model? The same small model on equal tokens of each dataset, several seeds.

    python -m tests.benchmarks.ablation [--data FOLDER] [--datasets fineweb-like raw] [--seeds 5] [--steps 100]

All datasets come from the same pages (`training_data.py`). Curated documents read by their weights are compared with
the same documents without weights, with a FineWeb-like selection of the same pages, and with all text of all pages.
Models are evaluated in bits per byte on text that no dataset holds, Wikipedia articles and novels, and on the held-out
pages of each. A model of two layers of 64, trained by Muon on 2,048 tokens a step; --set changes it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.training_data import evaluation_texts, prepare_datasets
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.studies.ablation import ablate, format_ablation
from trainer.tasks.pretrain_settings import read_pretrain_settings

SHAPE = ("model.hidden_size=64", "model.layers=2", "model.heads=4", "model.kv_heads=4", "model.context_length=128")
BATCH = ("data.sequence_length=128", "data.batch_size=16", "schedule.learning_rate=1.6e-2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of training_data.py; also keeps the runs")
    parser.add_argument("--datasets", nargs="*", default=["fineweb-like", "raw"], choices=["fineweb-like", "raw"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--documents", type=int, default=40, help="of each set of texts")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="setting of the model or the run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.data or Path(name)
        paths = prepare_datasets(folder, ["curated", *options.datasets])
        named = {"curated": str(paths["curated"]), "unweighted": str(paths["curated"])}
        named |= {dataset: str(paths[dataset]) for dataset in options.datasets}
        changes = [*SHAPE, *BATCH, f"loop.steps={options.steps}", f"schedule.warmup_steps={options.steps // 10}"]
        changes += ["optimizer.algorithm=muon", "loop.threads=1", "loop.precision=float32"]
        changes += ["loop.validate_every=100000", "checkpoints.every=100000", f"data.cache={folder}/tokens"]
        changes += options.changes
        run_settings = read_pretrain_settings("tiny", changes, tokenizer=folder / TOKENIZER_FILE)
        texts, count = evaluation_texts(folder, options.documents), options.documents
        found = ablate(
            run_settings,
            named,
            folder / "ablation",
            options.seeds,
            texts,
            count,
            unweighted=["unweighted"],
            log=lambda line: print(line, flush=True),
        )
        print(format_ablation(named, found))


if __name__ == "__main__":
    main()
