"""presets: each is valid and has the stated size; the tiny ones train."""

from __future__ import annotations

import pytest

from tests.trainer import runs
from trainer.config import list_presets
from trainer.model.size import count_parameters
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_settings import read_pretrain_settings
from trainer.training.metrics import read_metrics

# Millions of weights, all and those used for one token, with a vocabulary of 32,768.
SIZES = {
    "tiny": (7.8, 7.8),
    "tiny-sparse": (9.6, 8.4),
    "tiny-t5": (15.7, 15.7),
    "125m": (124.3, 124.3),
    "1b": (1040.3, 1040.3),
    "7b": (6744.7, 6744.7),
    "sparse": (868.3, 339.8),
}


def test_every_preset_is_tested():
    assert set(SIZES) <= set(list_presets())


@pytest.mark.parametrize("name", SIZES)
def test_a_preset_has_its_stated_size(name):
    run_settings = read_pretrain_settings(name, ["model.vocab_size=32768"])
    whole, active = SIZES[name]
    assert count_parameters(run_settings.model) / 1e6 == pytest.approx(whole, rel=0.01)
    assert count_parameters(run_settings.model, active=True) / 1e6 == pytest.approx(active, rel=0.01)
    assert run_settings.data.sequence_length == run_settings.model.context_length
    assert run_settings.data.batch_size % 8 == 0  # ranks divide the rows of a step
    assert run_settings.schedule.warmup_steps < run_settings.loop.steps / 5
    tokens = run_settings.data.batch_size * run_settings.data.sequence_length * run_settings.loop.steps
    if not name.startswith("tiny"):
        assert tokens / count_parameters(run_settings.model, active=True) > 15


@pytest.mark.parametrize("name", ["tiny", "tiny-sparse", "tiny-t5"])
def test_a_tiny_preset_trains(tmp_path, name):
    fast = ["model.vocab_size=64", "data.batch_size=4", "loop.steps=8", "schedule.warmup_steps=2", "loop.threads=1"]
    if name == "tiny-t5":
        fast += ["objective.first_sentinel=42", "objective.sentinels=20"]
    run_settings = read_pretrain_settings(name, fast)
    pretrain(run_settings, runs.source(4, 256), tmp_path, log=lambda _: None)
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"]
