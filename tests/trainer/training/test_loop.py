"""loop: a run learns, writes its metrics, and handles anomalous batches."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.trainer import runs
from tests.trainer.runs import build_decoder
from trainer.config import ConfigError
from trainer.data.batches import BatchSettings, BatchSource
from trainer.errors import TrainingStoppedError
from trainer.tasks.pretrain import PretrainTask
from trainer.training import checkpoint, hardware
from trainer.training import loop as training_loop
from trainer.training.distributed import World
from trainer.training.hardware import Precision, measure_hardware, measure_matmul_rate
from trainer.training.metrics import read_metrics
from trainer.training.run import open_run
from trainer.training.saved_model import load_decoder

ALONE = World(0, 1, torch.device("cpu"))


def two_domains() -> BatchSource:
    corpus = runs.corpus()
    domains = (np.arange(len(corpus)) % 2).astype(np.int32)
    corpus = replace(corpus, domain=domains, domains=("law", "science"))
    return BatchSource(corpus, BatchSettings(batch_size=8, sequence_length=32, max_repetitions=None))


def test_a_run_learns_and_writes_what_the_report_needs(tmp_path):
    source = two_domains()
    result = runs.run(
        tmp_path, {"loop": {"steps": 60, "validate_every": 30, "validate_batches": 2}}, source=source, validation=source
    )
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 61))
    assert rows[0]["loss"] == pytest.approx(np.log(64), rel=0.05)
    assert result.loss == rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    for row in rows:
        (law, n), (science, m) = row["domains"]["law"], row["domains"]["science"]
        assert n + m == 256
        assert (law * n + science * m) / 256 == pytest.approx(row["loss"], rel=1e-5)
        assert 0 < row["mfu"] < 1.5
        assert row["gradient_norm"] > 0
    assert [row["step"] for row in rows if "validation" in row] == [30, 60]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["parameters"] == sum(weight.numel() for weight in load_decoder(tmp_path).parameters())
    assert facts["peaks"]["float32"] > 1e8


class Poisoned(BatchSource):
    """One step's batch makes the loss jump: ids that the model has learned never to expect."""

    step = 20

    def batch(self, step, rank=0, world=1):
        batch = super().batch(step, rank, world)
        return replace(batch, targets=batch.targets * 0 + 60) if step == self.step else batch


def poisoned() -> Poisoned:
    return Poisoned(runs.corpus(), BatchSettings(batch_size=8, sequence_length=32, max_repetitions=None))


def anomalies(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "anomalies.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("action", ["report", "skip", "stop"])
def test_a_spike_triggers_the_configured_action_and_its_documents_are_logged(tmp_path, action):
    changes = {"loop": {"steps": 24}, "anomalies": {"spike": action, "window": 16, "deviations": 4.0}}
    source = poisoned()
    if action == "stop":
        with pytest.raises(TrainingStoppedError, match="step 21: spike"):
            runs.run(tmp_path, changes, source=source)
        assert checkpoint.read_state(checkpoint.find_checkpoint(tmp_path)).step == 20  # as it was before the step
        changes["anomalies"]["spike"] = "skip"  # as the message advises
    runs.run(tmp_path, changes, source=source)
    found = anomalies(tmp_path)[-1]
    assert (found["step"], found["kind"]) == (21, "spike")
    assert {row["id"] for row in found["documents"]} <= {ref.id for ref in source.documents(20)}
    means = [row["loss"] for row in found["documents"]]
    assert means == sorted(means, reverse=True)
    rows = read_metrics(tmp_path)
    assert rows[20]["anomaly"]["kind"] == "spike"
    assert len(rows) == 24


def test_a_skipped_step_leaves_the_weights_alone(tmp_path):
    weights = {}
    for name, steps in (("before", 20), ("after", 21)):
        changes = {"schedule": {"shape": "constant", "min_ratio": 1.0}, "loop": {"steps": steps}}
        changes["anomalies"] = {"spike": "skip", "window": 16, "deviations": 4.0}
        runs.run(tmp_path / name, changes, source=poisoned())
        weights[name] = load_decoder(tmp_path / name).state_dict()
    for key, value in weights["before"].items():
        assert torch.equal(weights["after"][key], value)


def test_a_step_whose_gradient_jumps_is_skipped_and_the_window_is_kept_on_resume(tmp_path, monkeypatch):
    """The norm of step 21 is multiplied where it is measured; the run is stopped and resumed just before."""
    real, calls = training_loop.clip_gradients, []

    def steep(model, limit):
        calls.append(real(model, limit))
        return calls[-1] * (1e3 if len(calls) == 21 else 1)

    monkeypatch.setattr(training_loop, "clip_gradients", steep)
    changes = {"loop": {"steps": 20}, "anomalies": {"gradient_spike": "skip", "window": 16}}
    runs.run(tmp_path, changes)
    runs.run(tmp_path, {**changes, "loop": {"steps": 24}}, allow_changes=True)
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows if "anomaly" in row] == [21]
    assert rows[20]["anomaly"] == {"kind": "gradient_spike", "action": "skip"}
    assert anomalies(tmp_path)[0]["gradient_norm"] == rows[20]["gradient_norm"] > anomalies(tmp_path)[0]["limit"]
    assert anomalies(tmp_path)[0]["documents"]


def test_nan_never_reaches_the_weights(tmp_path):
    changes = {"model": {"z_loss": 1e39}, "anomalies": {"patience": 4}}  # infinite in fp32
    with pytest.raises(TrainingStoppedError, match="not_finite"):
        runs.run(tmp_path, changes)
    assert [row["kind"] for row in anomalies(tmp_path)] == ["not_finite"] * 4
    assert [row["gradient_norm"] for row in read_metrics(tmp_path)] == [None] * 3
    for key, value in load_decoder(tmp_path).state_dict().items():
        assert torch.equal(value, build_decoder(runs.settings().model).state_dict()[key])
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # no NaN, no Infinity: other readers refuse them


def test_nan_ends_the_run_at_once_if_configured(tmp_path):
    with pytest.raises(TrainingStoppedError, match="step 1: not_finite"):
        runs.run(tmp_path, {"model": {"z_loss": 1e39}, "anomalies": {"not_finite": "stop"}})
    assert [row["action"] for row in anomalies(tmp_path)] == ["stop"]
    assert anomalies(tmp_path)[0]["documents"]
    assert checkpoint.read_state(checkpoint.find_checkpoint(tmp_path)).step == 0


@pytest.mark.parametrize("shape", [{}, {"encoder_layers": 1, "kv_heads": None}])
def test_compilation_is_an_option(tmp_path, shape):
    """Every block is handed to torch.compile; that compiled blocks give the same loss is shown in test_model."""
    objective = {"denoisers": [{}], "first_sentinel": 50, "sentinels": 10} if shape else {}
    for asked in (True, False):
        chosen = runs.settings(model=shape, objective=objective, loop={"compile": asked})
        model = open_run(PretrainTask(chosen, runs.source()), tmp_path, ALONE).model
        blocks = [*model.blocks, *getattr(model, "encoder_blocks", ())]
        assert len(blocks) == (3 if shape else 2)
        assert all((block._compiled_call_impl is not None) is asked for block in blocks)


@pytest.mark.parametrize("changes", [{}, {"model": {"encoder_layers": 2, "kv_heads": None}}])
def test_denoising_learns(tmp_path, changes):
    objective = {"denoisers": [{}, {"noise": "prefix"}], "first_sentinel": 50, "sentinels": 10}
    runs.run(tmp_path, {**changes, "objective": objective, "loop": {"steps": 60, "micro_batch_size": 4}})
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert rows[0]["domains"]["none"][1] == 256  # each token gets the mean loss of its sequence


def test_sparse_runs_report_their_experts(tmp_path):
    runs.run(tmp_path, {"model": {"experts": {"num_experts": 4, "every": 1}}, "loop": {"steps": 4}})
    experts = read_metrics(tmp_path)[-1]["experts"]
    assert np.array(experts["load"]).shape == (2, 4)
    assert np.array(experts["load"]).sum(axis=1) == pytest.approx([1, 1])
    assert len(experts["balance"]) == len(experts["dropped"]) == 2


def test_tensorboard_gets_the_same_numbers(tmp_path):
    runs.run(tmp_path, {"loop": {"steps": 3, "tensorboard": True}})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    expected = [row["loss"] for row in read_metrics(tmp_path)]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(expected)


def test_micro_batches_and_recomputation_change_nothing(tmp_path):
    for name, loop in (
        ("plain", {}),
        ("micro", {"micro_batch_size": 3}),
        ("again", {"activation_checkpointing": True}),
    ):
        runs.run(tmp_path / name, {"loop": {"steps": 4, **loop}})
    first = [row["loss"] for row in read_metrics(tmp_path / "plain")]
    assert [row["loss"] for row in read_metrics(tmp_path / "micro")] == pytest.approx(first, rel=1e-5)
    assert [row["loss"] for row in read_metrics(tmp_path / "again")] == first


def test_rows_longer_than_the_context_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.sequence_length = 128 is longer than model\.context_length = 64"):
        runs.run(tmp_path, source=runs.source(sequence_length=128))


@pytest.mark.parametrize("objective", [{"denoisers": [{}], "sentinels": 90}, {"denoisers": [{"mode": 64}]}])
def test_ids_that_the_vocabulary_lacks_are_refused(tmp_path, objective):
    with pytest.raises(ConfigError, match=r"objective uses id \d+ .* and model\.vocab_size = 64 ends before it"):
        runs.run(tmp_path, {"objective": {"sentinels": 10, **objective}})


def test_an_encoder_decoder_without_denoising_is_refused():
    with pytest.raises(ValueError, match="span corruption"):
        runs.settings(model={"encoder_layers": 2, "kv_heads": None})


def test_bf16_is_chosen_if_it_is_measured_to_be_faster(monkeypatch):
    cpu = torch.device("cpu")
    for bf16, expected in ((3e9, Precision.BFLOAT16), (0.4e9, Precision.FLOAT32)):
        rates = {torch.float32: 1e9, torch.bfloat16: bf16}
        monkeypatch.setattr(
            "trainer.training.hardware.measure_matmul_rate", lambda device, dtype, rates=rates: rates[dtype]
        )
        assert measure_hardware(cpu).precision is expected
        assert measure_hardware(cpu).peak == rates[getattr(torch, expected.value)]
        for given in (Precision.FLOAT32, Precision.BFLOAT16):
            asked = measure_hardware(cpu, given)
            assert (asked.precision, list(asked.peaks)) == (given, [given.value])  # the other one is not timed


def test_matmul_rate_is_a_rate():
    assert 1e8 < measure_matmul_rate(torch.device("cpu"), torch.float32) < 1e13


def test_the_first_product_which_loads_the_library_is_not_measured(monkeypatch):
    """On an H100 it took so long that it was the only one measured, and MFU was 40 times too high."""
    now, spent = [0.0], [0.0, 5.0]  # before and after the first product; later ones take a millisecond

    def wait(device: torch.device) -> None:
        now[0] += spent.pop(0) if spent else 0.001

    monkeypatch.setattr(hardware, "_wait", wait)
    monkeypatch.setattr(hardware.time, "perf_counter", lambda: now[0])
    assert measure_matmul_rate(torch.device("cpu"), torch.float32) == pytest.approx(2 * 1024**3 / 0.001)


def test_a_run_in_bf16_learns_and_keeps_its_precision(tmp_path, monkeypatch):
    runs.run(tmp_path, {"loop": {"steps": 8, "precision": "bfloat16"}})
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert all(weight.dtype is torch.float32 for weight in load_decoder(tmp_path).parameters())
    auto = {"loop": {"steps": 8, "precision": "auto"}}
    monkeypatch.setattr(
        "trainer.training.hardware.measure_matmul_rate", lambda device, dtype: 1e9
    )  # today bf16 would not be chosen
    runs.run(tmp_path, auto, allow_changes=True)
    assert json.loads((tmp_path / "run.json").read_text())["precision"] == "bfloat16"


def test_a_warm_up_longer_than_the_run_is_said(tmp_path):
    for warmup, said in ((3, False), (5, True), (50, True)):
        lines: list[str] = []
        changes = {"loop": {"steps": 5}, "schedule": {"warmup_steps": warmup}}
        runs.run(tmp_path / str(warmup), changes, log=lines.append)
        assert (
            any(f"warmup_steps = {warmup} and loop.steps = 5: the run ends in its warm-up" in x for x in lines) is said
        )


def test_a_run_ends_with_what_was_learned(tmp_path):
    """Bits per byte of the validation data before and after: a byte is a token in the test's corpus."""
    lines: list[str] = []
    changes = {"loop": {"steps": 30, "validate_every": 30, "validate_batches": 2}}
    runs.run(tmp_path, changes, validation=runs.source(), log=lines.append)
    (line,) = [line for line in lines if "before training" in line]
    before, after = re.findall(r"validation loss (\d\.\d+) \((\d\.\d+) bits per byte\)", line)
    found = read_metrics(tmp_path)[-1]["validation"]
    assert float(after[0]) == pytest.approx(found["loss"], abs=1e-4)
    corpus = runs.corpus()
    assert found["bits_per_byte"] == pytest.approx(found["loss"] / np.log(2) * corpus.tokens / corpus.bytes.sum())
    assert float(before[0]) == pytest.approx(np.log(64), rel=0.05)
    assert float(after[1]) < 0.9 * float(before[1])
