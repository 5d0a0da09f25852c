"""GRPO on arithmetic: right answers to held-out sums before and after, on one CPU core.

    python -m tests.benchmarks.arithmetic [--steps 600] [--seeds 1]

The questions are all sums of three digits, 1,000; 15% are held out of both stages by the text of the question. A model
of two layers of 64, hardly pretrained, is fine-tuned on the others until it knows the form of an answer and is mostly
wrong; then GRPO rewards its own right answers. Measured is the exact match of its most likely answers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.trainer.commands.invoke import run
from tests.trainer.curated import pages, write_dataset

HELD_OUT = 0.15
MODEL = ["hidden_size=64", "layers=2", "heads=4", "kv_heads=4", "context_length=64"]
LOOP = ["loop.threads=1", "loop.precision=float32", "checkpoints.every=100000"]
PRETRAIN = ["data.sequence_length=64", "data.batch_size=8", "loop.steps=12", "schedule.warmup_steps=2"]
PRETRAIN += ["data.workers=1", "data.held_out=0.1"]
SFT = ["chat.sequence_length=16", "chat.packing=false", "chat.batch_size=64", f"chat.held_out={HELD_OUT}"]
SFT += ["loop.steps=140", "schedule.learning_rate=3e-3"]
GRPO = ["prompts.batch_size=64", "rollout.samples=16", "rollout.max_new_tokens=4", "policy.minibatches=8"]
GRPO += [f"prompts.held_out={HELD_OUT}", "prompts.validate_prompts=1000", "policy.kl=0"]
GRPO += ["schedule.learning_rate=1.5e-3", "schedule.shape=linear", "schedule.min_ratio=0.1"]


class Learned(NamedTuple):
    """Exact match on held-out sums, 0 to 1."""

    before: float
    after: float
    seconds: float  # of CPU, of GRPO alone


def prepare(folder: Path) -> None:
    """The questions and a hardly pretrained model."""
    write_dataset(folder / "set", pages(200))
    run("tokenizer", folder / "set", "--output", folder / "tokenizer", "--vocab-size", 640)
    given = ("--data", folder / "set", "--tokenizer", folder / "tokenizer", "--output", folder / "run")
    model = [f"model.{change}" for change in MODEL]
    run("pretrain", "tiny", *given, *_set([*LOOP, *PRETRAIN, *model, f"data.cache={folder}/cache"]))
    run("make-tasks", "sums-of-three", "--count", 3000, "--output", folder / "sums.jsonl")


def learn(folder: Path, steps: int, seed: int = 0) -> Learned:
    """Fine-tune, then learn from rewards."""
    sums, tuned, out = folder / "sums.jsonl", folder / f"sft-{seed}", folder / f"grpo-{seed}"
    run("sft", folder / "run", sums, "--output", tuned, *_set([*LOOP, *SFT, f"chat.seed={seed}"]))
    begin = time.process_time()
    changes = [*LOOP, *GRPO, f"loop.steps={steps}", f"loop.validate_every={steps}", f"prompts.seed={seed}"]
    run("grpo", tuned, sums, "--output", out, *_set(changes))
    seconds = time.process_time() - begin
    asked = ("--prompts", sums, "--output", folder / f"comparison-{seed}", *_set(["max_new_tokens=4", "prompts=1000"]))
    run("compare-assistants", f"sft={tuned}", f"grpo={out}", *asked)
    found = json.loads((folder / f"comparison-{seed}" / "comparison.json").read_text())["stages"]
    return Learned(found["sft"][0]["correct"], found["grpo"][0]["correct"], seconds)


def _set(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for seed in range(options.seeds):
            found = learn(Path(name), options.steps, seed)
            print(f"seed {seed}: {found.before:.1%} -> {found.after:.1%} in {found.seconds:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
