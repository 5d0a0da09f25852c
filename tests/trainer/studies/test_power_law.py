"""The loss falls as a power of the model's size over five sizes, as it must where the model is what limits it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainer.corpora import build_corpus
from trainer.data.batches import BatchSettings, BatchSource
from trainer.model.size import count_parameters
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.metrics import read_metrics

VOCABULARY = 257


def zipf_bigrams() -> BatchSource:
    """Text whose next token depends on the last by a table of 256 Zipf-distributed rows: learning it needs weights."""
    generator = np.random.default_rng(0)
    ranks = 1 / np.arange(1, VOCABULARY) ** 1.2
    table = np.stack([generator.permutation(ranks / ranks.sum()) for _ in range(256)])
    documents = []
    cumulative = table.cumsum(axis=1)
    tokens = generator.integers(0, 256, 4000)
    columns = [tokens]
    for _ in range(127):
        drawn = (cumulative[tokens] < generator.random(4000)[:, None]).sum(axis=1)
        tokens = np.minimum(drawn, 255)
        columns.append(tokens)
    documents = (np.stack(columns, axis=1) + 1).tolist()
    return BatchSource(build_corpus(documents), BatchSettings(batch_size=16, sequence_length=128, max_repetitions=None))


@pytest.mark.slow
def test_loss_falls_as_a_power_law_over_five_sizes(tmp_path):
    source = zipf_bigrams()
    sizes, losses = [], []
    for width in (4, 8, 12, 16, 24):
        settings = PretrainSettings.model_validate(
            {
                "model": {
                    "vocab_size": VOCABULARY,
                    "hidden_size": width,
                    "layers": 1,
                    "heads": 2,
                    "context_length": 128,
                    "tie_embeddings": False,
                },
                "schedule": {"learning_rate": 2e-2, "warmup_steps": 10, "min_ratio": 0.0},
                "loop": {"steps": 100, "precision": "float32", "threads": 1},
                "checkpoints": {"every": 100},
            }
        )
        pretrain(settings, source, tmp_path / str(width), log=lambda _: None)
        sizes.append(count_parameters(settings.model))
        losses.append(np.mean([row["loss"] for row in read_metrics(tmp_path / str(width))[-20:]]))
    x, y = np.log(sizes), np.log(losses)
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - (slope * x + intercept)
    print(slope, 1 - (residual**2).sum() / ((y - y.mean()) ** 2).sum(), sizes, losses)
    assert slope < -0.02
    assert 1 - (residual**2).sum() / ((y - y.mean()) ** 2).sum() >= 0.95
    assert losses == sorted(losses, reverse=True)
