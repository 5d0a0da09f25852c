"""Fit the rules of `pretrain --depth` on curated real pages, and predict the loss of a deeper run.

    python -m tests.benchmarks.one_dial [--data FOLDER] [--aspect-ratio 16] [--tokens-per-parameter 2.5] [--fitted 1 2]

Sizes that a laptop can train: a narrow aspect ratio, short sequences, few tokens for each weight. Rates and batches are
varied at the two smallest depths by a factor of two, beginning with DeepSeek LLM's constants; with --fitted alone the
default rules are taken as they are. The deepest run is predicted from three seeds of each of the others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.training_data import prepare_datasets
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.studies.dial import DialSettings, describe_dial, turn_dial
from trainer.tasks.depth import DepthSettings
from trainer.tasks.pretrain_inputs import open_pretrain_inputs
from trainer.tasks.pretrain_settings import read_pretrain_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of training_data.py; also keeps the runs")
    parser.add_argument("--aspect-ratio", type=int, default=16)
    parser.add_argument("--tokens-per-parameter", type=float, default=2.5)
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--fitted", type=int, nargs="*", default=[1, 2], help="depths at which constants are varied")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.data or Path(name)
        data = prepare_datasets(folder, ["curated"])["curated"]
        changes = [f"data.cache={folder}/tokens", "loop.precision=float32", "loop.threads=1", "data.held_out=0.1"]
        changes += ["data.sequence_length=128", "model.context_length=128", "data.batch_size=16"]
        opened = open_pretrain_inputs(read_pretrain_settings("tiny", changes, str(data), folder / TOKENIZER_FILE))
        rules = DepthSettings(
            aspect_ratio=options.aspect_ratio,
            head_dim=16,
            sequence_length=128,
            tokens_per_parameter=options.tokens_per_parameter,
        )
        if options.fitted:
            rules = rules.model_copy(update={"rate": 0.3118, "batch": 0.2920})
        dial = DialSettings(depths=tuple(options.depths), fitted=tuple(options.fitted))
        _, points = turn_dial(opened, rules, dial, folder / "dial", lambda line: print(line, flush=True))
        print(describe_dial(points))


if __name__ == "__main__":
    main()
