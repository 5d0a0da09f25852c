"""Muon beside AdamW: held-out loss at equal tokens, each at its best learning rate, over several seeds.

    python -m tests.benchmarks.optimizers [--data FOLDER] [--steps 200] [--seeds 3]

A small model is trained on curated real pages (`training_data.py`). The rate of each optimizer is tuned first, with
a seed of its own: a grid of factors of two, extended until the best rate is inside it. Then each trains with the same
other seeds, and Muon with 0.7 of the steps as well. CPU seconds are of whole runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.training_data import prepare_datasets
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.studies.ablation import Difference
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_inputs import open_pretrain_inputs
from trainer.tasks.pretrain_settings import change_settings, read_pretrain_settings
from trainer.training.metrics import read_metrics

RATES = (4e-3, 8e-3, 1.6e-2)
TUNING_SEED = 100
SHAPE = ("model.hidden_size=64", "model.layers=3", "model.heads=4", "model.kv_heads=4", "model.context_length=128")
BATCH = ("data.sequence_length=128", "data.batch_size=16", "data.held_out=0.1")


class Trial:
    """Runs of one model that differ in optimizer, rate, steps and seed; finished ones are kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        data = prepare_datasets(folder, ["curated"])["curated"]
        changes = [*SHAPE, *BATCH, f"data.cache={folder}/tokens", "loop.precision=float32", "loop.threads=1"]
        changes += ["loop.validate_batches=32", "loop.validate_every=100000", "checkpoints.every=100000"]
        settings = read_pretrain_settings("tiny", changes, str(data), folder / TOKENIZER_FILE)
        self.opened = open_pretrain_inputs(settings)
        self.runs = folder / "optimizers"

    def loss(self, optimizer: str, rate: float, steps: int, seed: int) -> float:
        """Held-out loss in nats per token at the end of a run."""
        changes = [f"optimizer.algorithm={optimizer}", f"schedule.learning_rate={rate}", f"loop.steps={steps}"]
        changes += [f"schedule.warmup_steps={steps // 10}", f"loop.seed={seed}", f"data.seed={seed}"]
        settings = change_settings(self.opened.settings, changes)
        source = type(self.opened.source)(self.opened.source.corpus, settings.data)
        out = self.runs / f"{optimizer}-{rate:g}-{steps}-{seed}"
        begin = time.process_time()
        pretrain(settings, source, out, validation=self.opened.validation, log=lambda _: None)
        found = float(read_metrics(out)[-1]["validation"]["loss"])
        print(f"  {out.name}: {found:.4f} ({time.process_time() - begin:.0f} CPU s)", flush=True)
        return found

    def tune(self, optimizer: str, steps: int) -> float:
        """The rate of the lowest loss, with others tried on both sides of it."""
        losses = {rate: self.loss(optimizer, rate, steps, TUNING_SEED) for rate in RATES}
        while (best := min(losses, key=losses.__getitem__)) in (min(losses), max(losses)):
            rate = best / 2 if best == min(losses) else best * 2
            losses[rate] = self.loss(optimizer, rate, steps, TUNING_SEED)
        return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of training_data.py; also keeps the runs")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(options.data or Path(name))
        rates = {optimizer: trial.tune(optimizer, options.steps) for optimizer in ("adamw", "muon")}
        print("best rates: " + ", ".join(f"{name} {rate:g}" for name, rate in rates.items()))
        arms = {
            "AdamW": ("adamw", options.steps),
            "Muon": ("muon", options.steps),
            "Muon, 0.7 of the steps": ("muon", round(0.7 * options.steps)),
        }
        losses = {
            arm: tuple(trial.loss(kind, rates[kind], steps, seed) for seed in range(options.seeds))
            for arm, (kind, steps) in arms.items()
        }
        for arm, values in losses.items():
            found = Difference(arm, losses["AdamW"], values)
            low, high = found.interval
            interval = f"{low:+.4f} to {high:+.4f}"
            print(f"{arm}: {np.mean(values):.4f}, minus AdamW {found.mean:+.4f} (90% interval {interval})")


if __name__ == "__main__":
    main()
