"""A small text and a small run, for the tests of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.trainer.corpora import build_corpus
from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.corpus import Corpus
from trainer.model.decoder import Decoder
from trainer.model.model_settings import ModelSettings
from trainer.model.weights import initialize_weights
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.loop import TrainingResult

VOCABULARY = 64


def build_decoder(model: ModelSettings, seed: int = 0) -> Decoder:
    """A decoder with fresh weights, a function of (settings, seed)."""
    decoder = Decoder(model)
    initialize_weights(decoder, seed)
    return decoder


def corpus(documents: int = 120, seed: int = 0) -> Corpus:
    """Documents with a grammar: a token is mostly the previous one plus a step that is constant in the document."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(documents):
        length, step = int(generator.integers(8, 60)), int(generator.integers(1, 4))
        noise = generator.random(length) < 0.1
        tokens = np.where(
            noise, generator.integers(0, 40, length), (generator.integers(40) + step * np.arange(length)) % 40
        )
        rows.append((tokens + 1).tolist())
    return build_corpus(rows)


def source(batch_size: int = 8, sequence_length: int = 32, **values: Any) -> BatchSource:
    return BatchSource(
        corpus(), BatchSettings(batch_size=batch_size, sequence_length=sequence_length, max_repetitions=None, **values)
    )


def settings(**changes: Any) -> PretrainSettings:
    """A run of seconds; changes are given as `loop={"steps": 9}`."""
    values: dict[str, dict[str, Any]] = {
        "model": {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "layers": 2,
            "heads": 4,
            "kv_heads": 2,
            "context_length": 64,
        },
        "schedule": {"learning_rate": 1e-2, "warmup_steps": 3},
        "loop": {"steps": 12, "precision": "float32", "threads": 1, "validate_every": 1000},
        "checkpoints": {"every": 4, "keep_last": 10},
    }
    for section, change in changes.items():
        values[section] = {**values.get(section, {}), **change}
    return PretrainSettings.model_validate(values)


def run(out: Path, changes: dict[str, Any] | None = None, **arguments: Any) -> TrainingResult:
    """Train on the small text, without log."""
    given = {"source": source(), "log": lambda _: None, **arguments}
    return pretrain(settings(**(changes or {})), out=out, **given)
