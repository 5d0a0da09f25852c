"""Search the shares of domains on curated real pages, and compare the proposal with natural and default shares.

    python -m tests.benchmarks.mixtures [--data FOLDER] [--proxies 12] [--proxy-steps 60] [--steps 80] [--seeds 3]

The target is text that the data does not hold: Wikipedia articles and novels, one half for the search, the other for
the comparison. The weights of the dataset are those of the default shares.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.training_data import evaluation_texts, prepare_datasets
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.studies.mixture_search import MixtureSearchSettings, format_search, format_shares, search_mixture
from trainer.tasks.pretrain_inputs import open_pretrain_inputs
from trainer.tasks.pretrain_settings import read_pretrain_settings

SHAPE = ("model.hidden_size=48", "model.layers=2", "model.heads=3", "model.kv_heads=3", "model.context_length=128")
BATCH = ("data.sequence_length=128", "data.batch_size=16", "schedule.learning_rate=1.6e-2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of training_data.py; also keeps the runs")
    parser.add_argument("--proxies", type=int, default=12)
    parser.add_argument("--proxy-steps", type=int, default=60)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--domains", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.data or Path(name)
        data = prepare_datasets(folder, ["curated"])["curated"]
        changes = [*SHAPE, *BATCH, f"data.cache={folder}/tokens", "loop.precision=float32", "loop.threads=1"]
        changes += [f"loop.steps={options.steps}", "checkpoints.every=100000", "optimizer.algorithm=muon"]
        opened = open_pretrain_inputs(read_pretrain_settings("tiny", changes, str(data), folder / TOKENIZER_FILE))
        settings = MixtureSearchSettings(
            proxies=options.proxies,
            proxy_steps=options.proxy_steps,
            domains=options.domains,
            seeds=options.seeds,
        )
        texts = evaluation_texts(folder, 80)
        out = folder / "mixtures"
        report = search_mixture(opened, settings, texts, out, lambda line: print(line, flush=True))
        print(format_search(report))
        print(format_shares(report))


if __name__ == "__main__":
    main()
