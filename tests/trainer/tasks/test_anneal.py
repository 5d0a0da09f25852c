"""anneal: from the checkpoint's learning rate to 0, on better data or, as the control, on the same mixture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer import runs
from trainer.config import ConfigError
from trainer.data.batches import BatchSource
from trainer.data.sources import DataSettings, SourceSettings
from trainer.tasks.anneal import AnnealSettings, anneal, build_data_settings, build_run_settings
from trainer.training import checkpoint
from trainer.training.metrics import read_metrics
from trainer.training.saved_model import load_decoder

WSD = {"schedule": {"shape": "wsd", "warmup_steps": 3, "decay_fraction": 0.3, "min_ratio": 0.0}}
DATA = DataSettings(batch_size=8, sequence_length=32, sources={"web": SourceSettings(path="web", min_quality=0.2)})


def run_stage(settings: AnnealSettings, start: Path, source: BatchSource, out: Path, log=lambda _: None) -> None:
    anneal(build_run_settings(settings, checkpoint.read_state(start)), start, source, out, log=log)


@pytest.fixture(scope="module")
def started_run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("started_run")
    runs.run(out, {**WSD, "loop": {"steps": 40}})
    return out


def test_the_rate_falls_from_the_checkpoints_rate_to_zero(started_run, tmp_path):
    start = started_run / "checkpoints" / "step-00000020"
    run_stage(AnnealSettings(steps=10), start, runs.source(seed=5), tmp_path, log=lambda _: None)
    rates = [row["learning_rate"] for row in read_metrics(tmp_path)]
    assert rates == pytest.approx([1e-2 * (1 - step / 10) for step in range(10)])
    last = read_metrics(started_run)[19]["loss"]
    assert read_metrics(tmp_path)[0]["loss"] < last + 0.5  # weights and moments were loaded
    assert read_metrics(tmp_path)[-1]["loss"] < last
    moment = dict(checkpoint.read_tensors(checkpoint.find_checkpoint(tmp_path), "optimizer"))["norm.weight/step"]
    assert moment == 30


def test_a_checkpoint_taken_during_decay_keeps_its_rate(started_run):
    state = checkpoint.read_state(started_run / "checkpoints" / "step-00000036")
    assert 0 < state.learning_rate < 0.5e-2
    assert build_run_settings(AnnealSettings(), state).schedule.learning_rate == state.learning_rate


def test_an_annealed_checkpoint_is_refused(started_run, tmp_path):
    run_stage(AnnealSettings(steps=20), started_run / "checkpoints" / "step-00000020", runs.source(), tmp_path, log=str)
    state = checkpoint.read_state(checkpoint.find_checkpoint(tmp_path)).model_copy(update={"learning_rate": 1e-9})
    with pytest.raises(ConfigError, match="annealed already"):
        build_run_settings(AnnealSettings(), state)
    assert build_run_settings(AnnealSettings(learning_rate=3e-4), state).schedule.learning_rate == 3e-4


def test_the_control_continues_the_data_where_the_run_stopped(started_run):
    state = checkpoint.read_state(started_run / "checkpoints" / "step-00000020")
    control = build_data_settings(DATA, AnnealSettings(control=True, min_quality=0.9), state)
    assert control.sources == DATA.sources
    went_on = BatchSource(runs.corpus(), control.model_copy(update={"max_repetitions": None}))
    assert torch.equal(went_on.batch(0).inputs, runs.source().batch(20).inputs)


def test_quality_and_sources_are_configured():
    state = checkpoint.RunState(
        step=20, tokens=0, learning_rate=1e-3, data={}, settings={}, precision="", world=1, torch=""
    )
    better = build_data_settings(DATA, AnnealSettings(min_quality=0.7), state)
    assert better.sources["web"].min_quality == 0.7
    assert better.first_sequence == 0
    stricter = build_data_settings(DATA, AnnealSettings(min_quality=0.1), state)
    assert stricter.sources["web"].min_quality == 0.2  # never looser than the run was
    books = {"books": SourceSettings(path="books", share=1.0)}
    assert build_data_settings(DATA, AnnealSettings(sources=books, seed=9), state).sources == books


@pytest.mark.parametrize("scaling", ["linear", "llama3", "yarn"])
def test_a_longer_context_is_trained_from_a_shorter_one(tmp_path, scaling):
    short = {"model": {"context_length": 32}, **WSD, "loop": {"steps": 60}}
    runs.run(tmp_path / "short", short)
    start = tmp_path / "short" / "checkpoints" / "step-00000040"
    settings = AnnealSettings(steps=12, context_length=96, scaling=scaling, control=True)
    data = build_data_settings(DATA, settings, checkpoint.read_state(start))
    assert (data.sequence_length, data.batch_size, data.first_sequence) == (96, 2, -(-40 * 8 * 32 // 96))
    endless = data.model_copy(update={"max_repetitions": None, "document_mask": False})
    source = BatchSource(runs.corpus(), endless)
    run_stage(settings, start, source, tmp_path / "long", log=lambda _: None)
    model = load_decoder(tmp_path / "long")
    assert model.settings.context_length == 96
    assert model.settings.rope.factor == 3.0
    losses = [row["loss"] for row in read_metrics(tmp_path / "long")]
    assert losses[-1] < read_metrics(tmp_path / "short")[0]["loss"] * 0.8
    assert losses[-1] < losses[0]


def test_annealing_resumes_after_a_kill(started_run, tmp_path):
    start = started_run / "checkpoints" / "step-00000020"
    for name in ("whole", "parts"):
        run_stage(AnnealSettings(steps=12), start, runs.source(), tmp_path / name, log=lambda _: None)
    for path in checkpoint.list_checkpoints(tmp_path / "parts" / "checkpoints")[1:]:
        for file in path.iterdir():
            file.unlink()
    run_stage(AnnealSettings(steps=12), start, runs.source(), tmp_path / "parts", log=lambda _: None)
    first, second = (
        dict(checkpoint.read_tensors(checkpoint.find_checkpoint(tmp_path / n), "model")) for n in ("whole", "parts")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
