"""A reward model on real preferences, beside the length of the answers alone.

    python -m tests.benchmarks.reward [--seeds 2] [--epochs 2]

The pairs are HH-RLHF's (harmless, development set; GRISTMILL_DATA, default ../shared/data), split by prompt: a third is
held out of all training. A model of one layer of 64 first learns to write both answers of the other pairs, then to
score them. The numbers are those of the last step: no checkpoint is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks import data_folder
from tests.trainer.commands.invoke import run
from tests.trainer.curated import row, write_dataset
from trainer.chat.chat_batches import is_held_out
from trainer.chat.conversation import Preference, prompt_key
from trainer.chat.read_preferences import read_preferences
from trainer.training.metrics import read_metrics

FILE = "trainer/pref/hh_rlhf_harmless_dev.jsonl.gz"
HELD_OUT = 1 / 3
LENGTH = 384  # tokens
MODEL = ["hidden_size=64", "layers=1", "heads=4", "kv_heads=4", f"context_length={LENGTH}"]
LOOP = ["loop.threads=1", "loop.precision=float32", "checkpoints.every=100000", "loop.validate_every=100000"]


def write_answers(path: Path, pairs: Sequence[Preference]) -> None:
    """Both answers of every pair as conversations."""
    with path.open("w") as file:
        for pair in pairs:
            prompt = [{"role": message.role, "content": message.content} for message in pair.prompt]
            for answer in (pair.chosen, pair.rejected):
                file.write(json.dumps({"messages": [*prompt, {"role": "assistant", "content": answer}]}) + "\n")


def prepare(folder: Path, source: Path) -> None:
    """A model that has learned to write the answers of the pairs that are not held out."""
    pairs = [pair for pair in read_preferences([source]) if not is_held_out(prompt_key(pair.prompt), HELD_OUT)]
    texts = [" ".join([*(message.content for message in pair.prompt), pair.chosen, pair.rejected]) for pair in pairs]
    write_dataset(folder / "set", [row(number, text) for number, text in enumerate(texts)])
    run("tokenizer", folder / "set", "--output", folder / "tokenizer", "--vocab-size", 2048)
    given = ("--data", folder / "set", "--tokenizer", folder / "tokenizer", "--output", folder / "run")
    data = [f"data.cache={folder}/cache", "data.workers=1", "data.sequence_length=128", "data.batch_size=16"]
    steps = ["loop.steps=20", "schedule.warmup_steps=5"]
    run("pretrain", "tiny", *given, *_set([*LOOP, *data, *steps, *(f"model.{change}" for change in MODEL)]))
    write_answers(folder / "answers.jsonl", pairs)
    chat = [f"chat.sequence_length={LENGTH}", "chat.held_out=0", "epochs=1", "schedule.learning_rate=3e-3"]
    run("sft", folder / "run", folder / "answers.jsonl", "--output", folder / "sft", *_set([*LOOP, *chat]))


def score(folder: Path, source: Path, seed: int, epochs: float, rate: float) -> dict[str, float]:
    """The reward model's numbers on the held-out pairs."""
    out = folder / f"reward-{seed}"
    changes = [f"pairs.sequence_length={LENGTH}", "pairs.batch_size=32", f"pairs.held_out={HELD_OUT}"]
    changes += [f"epochs={epochs}", f"pairs.seed={seed}", f"loop.seed={seed}", f"schedule.learning_rate={rate}"]
    changes += ["checkpoints.keep_best=false", "loop.patience=off"]
    run("reward", folder / "sft", source, "--output", out, *_set([*LOOP, *changes]))
    found: dict[str, float] = read_metrics(out)[-1]["validation"]
    return found


def _set(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    source, gains = data_folder() / FILE, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, source)
        for seed in range(options.seeds):
            begin = time.process_time()
            found = score(folder, source, seed, options.epochs, options.rate)
            gains.append(found["accuracy"] - found["length_accuracy"])
            print(
                f"seed {seed}: {found['accuracy']:.1%} right, by length alone {found['length_accuracy']:.1%}; "
                f"calibration error {found['calibration_error']:.3f} ({time.process_time() - begin:.0f} CPU s)",
                flush=True,
            )
    print(f"{100 * float(np.mean(gains)):+.1f} points over the length of the answers")


if __name__ == "__main__":
    main()
