"""A reward model on real preferences, beside the length of the answers alone.

    python -m tests.benchmarks.reward [--folds 3] [--seeds 1] [--epochs 2]

The pairs are HH-RLHF's (harmless, development set; GRISTMILL_DATA, default ../shared/data), in three parts by prompt.
Each part is held out in turn, so that every pair is once: a model of one layer of 64 learns to write both answers of
the other parts, then to score them, and the length baseline is fitted on the same pairs. The numbers are those of the
last step: no checkpoint is chosen by them. The interval is that of the mean over pairs of the difference of both (seeds
are averaged before), so it tells how sure the gain is on other pairs of this kind.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.benchmarks import data_folder
from tests.trainer.commands.invoke import run
from tests.trainer.curated import row, write_dataset
from trainer.chat.chat_batches import is_held_out
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Preference, prompt_key
from trainer.chat.pair_batches import PairBatches, PairSettings, split_pairs
from trainer.chat.read_conversations import ReadReport
from trainer.chat.read_preferences import read_preferences
from trainer.tasks.reward import fit_length_baseline, score_rows
from trainer.tasks.start_model import open_start
from trainer.training.saved_model import load_decoder

FILE = "trainer/pref/hh_rlhf_harmless_dev.jsonl.gz"
PARTS = 3
LENGTH = 128  # tokens: the end of the prompt, and the answer
MODEL = ["hidden_size=64", "layers=1", "heads=4", "kv_heads=4", f"context_length={LENGTH}"]
LOOP = ["loop.threads=1", "loop.precision=float32", "checkpoints.every=100000", "loop.validate_every=100000"]


class Recipe(NamedTuple):
    """What the reward model is trained with."""

    epochs: float
    rate: float


def part_of(pair: Preference) -> int:
    """Number of the part that a pair is in, from 0."""
    key = prompt_key(pair.prompt)
    return next(number for number in range(PARTS) if is_held_out(key, (number + 1) / PARTS))


def write_pairs(path: Path, pairs: Sequence[Preference]) -> None:
    """The pairs as a file of preferences."""
    with path.open("w") as file:
        for pair in pairs:
            prompt = [{"role": message.role, "content": message.content} for message in pair.prompt]
            file.write(json.dumps({"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected}) + "\n")


def write_answers(path: Path, pairs: Sequence[Preference]) -> None:
    """Both answers of every pair to the last message before them, as conversations."""
    with path.open("w") as file:
        for pair in pairs:
            asked = {"role": "user", "content": pair.prompt[-1].content}
            for answer in (pair.chosen, pair.rejected):
                file.write(json.dumps({"messages": [asked, {"role": "assistant", "content": answer}]}) + "\n")


def prepare(folder: Path, pairs: Sequence[Preference]) -> None:
    """A model that has learned to write the answers of the pairs."""
    texts = [" ".join([*(message.content for message in pair.prompt), pair.chosen, pair.rejected]) for pair in pairs]
    write_dataset(folder / "set", [row(number, text) for number, text in enumerate(texts)])
    run("tokenizer", folder / "set", "--output", folder / "tokenizer", "--vocab-size", 2048)
    given = ("--data", folder / "set", "--tokenizer", folder / "tokenizer", "--output", folder / "run")
    data = [f"data.cache={folder}/cache", "data.workers=1", f"data.sequence_length={LENGTH}", "data.batch_size=16"]
    steps = ["loop.steps=20", "schedule.warmup_steps=5"]
    run("pretrain", "tiny", *given, *_set([*LOOP, *data, *steps, *(f"model.{change}" for change in MODEL)]))
    write_answers(folder / "answers.jsonl", pairs)
    chat = [f"chat.sequence_length={LENGTH}", "chat.held_out=0", "epochs=1", "schedule.learning_rate=3e-3"]
    run("sft", folder / "run", folder / "answers.jsonl", "--output", folder / "sft", *_set([*LOOP, *chat]))
    write_pairs(folder / "pairs.jsonl", pairs)


def train(folder: Path, seed: int, recipe: Recipe) -> Path:
    """The run of a reward model."""
    out = folder / f"reward-{seed}"
    changes = [f"pairs.sequence_length={LENGTH}", "pairs.batch_size=32", "pairs.held_out=0"]
    changes += [f"epochs={recipe.epochs}", f"schedule.learning_rate={recipe.rate}"]
    changes += [f"pairs.seed={seed}", f"loop.seed={seed}"]
    run("reward", folder / "sft", folder / "pairs.jsonl", "--output", out, *_set([*LOOP, *changes]))
    return out


class Right(NamedTuple):
    """For each held-out pair whether the preferred answer has the higher score, a half for equal ones: [pairs]."""

    model: NDArray[np.float64]
    length: NDArray[np.float64]


@torch.inference_mode()
def measure(out: Path, trained: Sequence[Preference], held_out: Sequence[Preference]) -> Right:
    """A reward model beside the length of the answers."""
    settings, model = PairSettings(sequence_length=LENGTH, held_out=0.0), load_decoder(out)
    template = ChatTemplate(open_start(out).tokenizer)
    known, asked = (
        split_pairs(pairs, settings, template, ReadReport(), with_ties=False).training for pairs in (trained, held_out)
    )
    batches = PairBatches(asked, settings, whole=True)
    parts = [batches.fill([[number]]) for number in range(len(asked))]
    scores = torch.stack([score_rows(model, part) for part in parts])
    return Right(_right(scores), _right(fit_length_baseline(known).score(asked)))


def _right(scores: Tensor) -> NDArray[np.float64]:
    better: NDArray[np.float64] = scores[:, 0].sub(scores[:, 1]).sign().double().numpy()
    return (better + 1) / 2


def measure_part(folder: Path, pairs: Sequence[Preference], part: int, seeds: int, recipe: Recipe) -> list[Right]:
    """The models of all seeds on a part that none of them was trained on."""
    trained, held_out = ([pair for pair in pairs if (part_of(pair) == part) is side] for side in (False, True))
    prepare(folder, trained)
    return [measure(train(folder, seed, recipe), trained, held_out) for seed in range(seeds)]


class Gain(NamedTuple):
    """What the models have over the length, in points of accuracy: the mean over pairs, and its 95% interval."""

    mean: float
    low: float
    high: float


def find_gain(parts: Sequence[Sequence[Right]]) -> Gain:
    """parts: for each part the results of all seeds, on the same pairs in the same order."""
    gains = [np.mean([right.model - right.length for right in rights], axis=0) for rights in parts]
    points = 100 * np.concatenate(gains)
    mean, error = float(points.mean()), float(points.std(ddof=1)) / math.sqrt(len(points))
    return Gain(mean, mean - 1.96 * error, mean + 1.96 * error)


def _set(changes: Sequence[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=PARTS, help="parts that are held out in turn")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    recipe = Recipe(options.epochs, options.rate)
    pairs, found = read_preferences([data_folder() / FILE]), []
    for part in range(options.folds):
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as name:
            rights = measure_part(Path(name), pairs, part, options.seeds, recipe)
        found.append(rights)
        models = ", ".join(f"{right.model.mean():.1%}" for right in rights)
        print(
            f"part {part + 1}: {models} of {len(rights[0].model)} pairs right, by length alone "
            f"{rights[0].length.mean():.1%} ({time.process_time() - begin:.0f} CPU s)",
            flush=True,
        )
    print("{:+.1f} points over the length of the answers (95% interval {:+.1f} to {:+.1f})".format(*find_gain(found)))


if __name__ == "__main__":
    main()
