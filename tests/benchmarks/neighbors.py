"""What retrieved neighbors are worth on real pages: bits per byte of a model that reads them, and of one without.

    python -m tests.benchmarks.neighbors [--dataset CURATED] [--seeds 3] [--steps 300] [--batches 12]

Both models have 3 blocks of width 64 and see the same tokens in the same order; one has cross-attention to two
neighbors of each chunk of 32 tokens (and a neighbors' encoder of one block beside it). Neighbors come from the
documents that are trained on, by hashed TF-IDF; never from a chunk's own document, its URL, or a copy. Measured are
held-out documents: all of their text, and the chunks none of whose 8-grams stand in their neighbors, where a gain is no
copy. Without --dataset one is made of the folder of real pages (tests/benchmarks/training_data.py).
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.training_data import prepare_datasets, texts_of
from trainer.data.batches import BatchSource
from trainer.data.sources import is_held_out
from trainer.data.tokenizer import TOKENIZER_FILE, TokenizerSettings, load_tokenizer, train_tokenizer
from trainer.evaluation.neighbor_gain import measure_tokens
from trainer.model.decoder import Decoder
from trainer.retrieval.chunk_database import ChunkSettings, build_database
from trainer.studies.seed_interval import mean_interval
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_inputs import PretrainInputs, open_pretrain_inputs
from trainer.tasks.pretrain_settings import change_settings, read_pretrain_settings
from trainer.training.saved_model import load_decoder

CHUNK = 32  # tokens
LIMITS = {"all text": 1.0, "no 8-gram in neighbors": 0.0}


def open_plain(dataset: Path, folder: Path, steps: int) -> PretrainInputs:
    """The run without neighbors, with batches of 2,048 tokens."""
    if not (folder / TOKENIZER_FILE).exists():
        shape = TokenizerSettings(vocab_size=1024, sentinels=0, reserved=0, placeholders=())
        train_tokenizer(texts_of(dataset), shape).save(folder / TOKENIZER_FILE)
    changes = ["data.sequence_length=256", "data.batch_size=8", f"data.cache={folder}/tokens"]
    changes += ["model.context_length=256", "model.hidden_size=64", "model.layers=3", "model.heads=4"]
    changes += ["model.kv_heads=4", "loop.threads=1", "loop.validate_every=1000000", f"loop.steps={steps}"]
    changes += [f"schedule.warmup_steps={steps // 10}", "optimizer.algorithm=muon", "schedule.learning_rate=0.02"]
    changes += ["model.init_std=0.05"]  # with Muon 4.42 nats a token after 300 steps, with AdamW 5.6 after 150
    settings = read_pretrain_settings("tiny", changes, str(dataset), folder / TOKENIZER_FILE)
    return open_pretrain_inputs(settings, progress=False)


def open_retro(plain: PretrainInputs, folder: Path) -> PretrainInputs:
    """The same run with neighbors from the documents that it is trained on."""
    database = folder / "chunks"
    if not database.exists():
        corpus = plain.source.corpus
        kept = corpus.select(~is_held_out(corpus, plain.settings.data.held_out))
        build_database(kept, plain.tokenizer, ChunkSettings(chunk_tokens=CHUNK), database, progress=False)
    retro = f"model.retro={{chunk_tokens = {CHUNK}, encoder_layers = 1}}"
    settings = change_settings(plain.settings, [retro, f"retrieval.database={str(database)!r}"])
    return open_pretrain_inputs(settings, progress=False)


@torch.inference_mode()
def measure_plain(model: Decoder, source: BatchSource, batches: int) -> NDArray[np.float64]:
    """Nats of every counted target."""
    found = []
    for batch in map(source.batch, range(batches)):
        given = {name: tensor for name, tensor in vars(batch).items() if name not in ("inputs", "loss_mask")}
        found.append(model(tokens=batch.inputs, **given).token_losses[batch.loss_mask].double().numpy())
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="a curated dataset; made of the folder of real pages if unset")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batches", type=int, default=12, help="of 2,048 tokens of held-out text, to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = options.dataset or prepare_datasets(folder, ["curated"])["curated"]
        plain = open_plain(dataset, folder, options.steps)
        retro = open_retro(plain, folder)
        assert plain.validation is not None
        assert retro.neighbors is not None
        tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
        print(f"{len(plain.source.corpus.length):,} documents, {plain.source.corpus.tokens:,} tokens", flush=True)
        names = ("plain", "with", "without")
        scores: dict[str, dict[str, list[float]]] = {limit: {name: [] for name in names} for limit in LIMITS}
        sizes = dict[str, int]()
        for seed in range(options.seeds):
            models = {}
            for arm, opened in (("plain", plain), ("retro", retro)):
                settings = change_settings(opened.settings, [f"loop.seed={seed}", f"data.seed={seed}"])
                source = BatchSource(opened.source.corpus, settings.data, opened.shares)
                out = folder / f"{arm}-{seed}"
                pretrain(settings, source, out, tokenizer=tokenizer, neighbors=opened.neighbors, log=lambda _: None)
                models[arm] = load_decoder(out)
            found = measure_tokens(
                models["retro"], plain.validation, retro.neighbors, tokenizer, options.batches, progress=False
            )
            nats = (measure_plain(models["plain"], plain.validation, options.batches), *found[:2])
            for limit, most in LIMITS.items():
                chosen = np.nan_to_num(found.overlap, nan=0.0 if most == 1 else np.inf) <= most
                sizes[limit] = int(found.bytes[chosen].sum())
                for arm, values in zip(names, nats, strict=True):
                    scores[limit][arm].append(float(values[chosen].sum()) / sizes[limit] / math.log(2))
            shown = {limit: {arm: round(values[-1], 4) for arm, values in by.items()} for limit, by in scores.items()}
            print(f"seed {seed}: {shown}", flush=True)
        print("bits per byte: plain model; model that reads neighbors, with and without them; 90% intervals over seeds")
        for limit, by in scores.items():
            means = ", ".join(f"{np.mean(by[arm]):.4f}" for arm in names)
            print(f"{limit} ({sizes[limit]:,} bytes): {means}")
            for arm, text in (("plain", "less than the plain model"), ("without", "less than without its neighbors")):
                gain = mean_interval(np.subtract(by[arm], by["with"]).tolist())
                print(f"  {gain.mean:.4f} {text} ({gain.low:.4f} to {gain.high:.4f})")


if __name__ == "__main__":
    main()
