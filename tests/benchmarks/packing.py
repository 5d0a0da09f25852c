"""Compare models trained on cut and on best-fit sequences: the same model, documents and steps, several seeds.

    python -m tests.benchmarks.packing [--folder DATASETS] [--seeds 3] [--steps 200] [--lengths 512]

Trained is a model of half a million weights, by `tiny`'s rules, on curated pages (tests/benchmarks/training_data.py; a
folder of finished datasets is used again). Evaluated is bits per byte on held-out pages and on passages of novels that
no dataset holds. Best fit reads fewer tokens in as many positions; the comparison is at equal positions, which is equal
computation. Prints first what each packing wastes, at each length.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from itertools import islice
from pathlib import Path

from tests.benchmarks import data_folder
from tests.benchmarks.training_data import prepare_datasets
from trainer.data.batches import BatchSource
from trainer.data.packing import Packing, format_waste
from trainer.data.tokenizer import TOKENIZER_FILE, Tokenizer
from trainer.evaluation.perplexity import held_out_documents
from trainer.studies.ablation import Difference, Documents, train_and_evaluate
from trainer.tasks.pretrain_inputs import PretrainInputs, open_pretrain_inputs
from trainer.tasks.pretrain_settings import change_settings, read_pretrain_settings


def open_run(dataset: Path, packing: Packing, length: int, steps: int) -> PretrainInputs:
    """A run at a sequence length, with batches of 2,048 tokens."""
    changes = [
        f"data.packing={packing}",
        f"data.sequence_length={length}",
        f"data.batch_size={max(1, 2048 // length)}",
        f"data.cache={dataset.parent}/tokens",
        f"model.context_length={length}",
        "model.hidden_size=96",
        "model.layers=3",
        "model.heads=3",
        "model.kv_heads=3",
        f"loop.steps={steps}",
        "loop.validate_every=1000000",
        "loop.threads=1",
        f"schedule.warmup_steps={steps // 10}",
    ]
    tokenizer = dataset.parent / TOKENIZER_FILE
    return open_pretrain_inputs(read_pretrain_settings("tiny", changes, str(dataset), tokenizer), progress=False)


def novels(tokenizer: Tokenizer, count: int) -> Documents:
    """Passages of novels."""
    with gzip.open(data_folder() / "trainer/eval/lambada_openai.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, count)]
    texts = [f"{row['context']} {row['continuation']}" for row in rows]
    return [
        ("all", tokens, len(text.encode())) for text, tokens in zip(texts, tokenizer.encode_many(texts), strict=True)
    ]


def compare(dataset: Path, length: int, steps: int, seeds: int, runs: Path) -> list[Difference]:
    """Best fit minus cut, in bits per byte on each set of texts."""
    opened = {packing: open_run(dataset, packing, length, steps) for packing in Packing}
    first = opened[Packing.CUT]
    assert first.validation is not None
    held_out = [("all", tokens, size) for _, tokens, size in held_out_documents(first.validation.corpus, 30)]
    texts: dict[str, Documents] = {"held-out pages": held_out, "novels": novels(first.tokenizer, 60)}
    scores: dict[str, dict[Packing, list[float]]] = {name: {packing: [] for packing in Packing} for name in texts}
    for seed in range(seeds):
        for packing, run in opened.items():
            settings = change_settings(run.settings, [f"loop.seed={seed}", f"data.seed={seed}"])
            source = BatchSource(run.source.corpus, settings.data, run.shares)
            out = runs / f"{packing}-{length}-{seed}"
            found = train_and_evaluate(settings, source, run.tokenizer, out, texts)
            for name, value in found.items():
                scores[name][packing].append(value)
            print(
                f"  {packing}, seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()),
                flush=True,
            )
    return [Difference(name, tuple(by[Packing.CUT]), tuple(by[Packing.BEST_FIT])) for name, by in scores.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="datasets to use again; a temporary folder if unset")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        dataset = prepare_datasets(folder, ["curated"])["curated"]
        for length in (256, 512, 1024, 2048, 4096):
            for packing in Packing:
                source = open_run(dataset, packing, length, 1).source
                print(f"{length:>5} {format_waste(packing, source.waste())}")
        for length in options.lengths:
            print(f"sequences of {length}, {options.steps} steps of 2,048 positions, bits per byte:")
            for item in compare(dataset, length, options.steps, options.seeds, Path(name) / "runs"):
                low, high = item.interval
                print(f"{item.texts}: best_fit minus cut {item.mean:+.4f} (90% interval {low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    main()
