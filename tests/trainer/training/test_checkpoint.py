"""checkpoint: atomic, and resumed bitwise, also after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer import runs
from trainer.data.batches import BatchSource, Segment
from trainer.errors import TrainingStoppedError
from trainer.training import checkpoint, checkpoint_writer
from trainer.training.checkpoint import CheckpointError, CheckpointSettings
from trainer.training.metrics import read_metrics
from trainer.training.saved_model import load_decoder

# How a checkpoint is written: gathered, as shards, and as shards while the next steps compute.
WRITTEN = {"gathered": {}, "sharded": {"sharded": True}, "asynchronous": {"sharded": True, "asynchronous": True}}
DROPOUT = {"model": {"experts": {"num_experts": 4, "every": 2, "dropout": 0.3}}}  # makes the generators matter


def tensors(run: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.find_checkpoint(run)
    return {f"{path.name}/{k}": v for path in sorted(found.glob("*.safetensors")) for k, v in load_file(path).items()}


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run)]


def assert_equal_runs(a: Path, b: Path) -> None:
    first, second = tensors(a), tensors(b)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert losses(a) == losses(b)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    runs.run(out, DROPOUT)
    return out


@pytest.mark.parametrize("step", [4, 8])
def test_resuming_equals_an_uninterrupted_run(uninterrupted, tmp_path, step):
    runs.run(tmp_path, DROPOUT)
    for path in checkpoint.list_checkpoints(tmp_path / "checkpoints"):
        if checkpoint.step_of(path) > step:
            checkpoint_files = list(path.iterdir())
            for file in checkpoint_files:
                file.unlink()
            path.rmdir()
    assert checkpoint.read_state(checkpoint.find_checkpoint(tmp_path)).step == step  # `latest` names one that is gone
    runs.run(tmp_path, DROPOUT)
    assert_equal_runs(tmp_path, uninterrupted)


SCRIPT = """
import sys
from pathlib import Path
from tests.trainer import runs
from tests.trainer.training import test_checkpoint
runs.run(Path(sys.argv[1]), {**test_checkpoint.DROPOUT, **test_checkpoint.written(sys.argv[2])})
"""


def written(way: str) -> dict[str, dict[str, Any]]:
    """The settings of a way to write checkpoints."""
    return {"checkpoints": {"every": 4, "keep_last": 10, **WRITTEN[way]}}


def start(out: Path, way: str) -> subprocess.Popen:
    root = Path(__file__).parents[3]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), way], cwd=root, stderr=subprocess.DEVNULL)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.001)


@pytest.mark.parametrize("way", ["gathered", "asynchronous"])
def test_resuming_after_kill_9_equals_an_uninterrupted_run_bitwise(uninterrupted, tmp_path, way):
    process = start(tmp_path, way)
    wait_for(tmp_path / "checkpoints" / "step-00000004", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.read_state(checkpoint.find_checkpoint(tmp_path)).step < 12
    runs.run(tmp_path, {**DROPOUT, **written(way)})
    assert_equal_runs(tmp_path, uninterrupted)


def test_a_terminated_run_saves_and_can_be_resumed(uninterrupted, tmp_path):
    asked = []

    def end_soon(line: str) -> None:
        if line.startswith("step 6") and not asked:
            asked.append(line)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingStoppedError, match="resumes from"):
        runs.run(tmp_path, {**DROPOUT, "loop": {"log_every": 1}}, log=end_soon)
    assert checkpoint.read_state(checkpoint.find_checkpoint(tmp_path)).step in (6, 7)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    runs.run(tmp_path, DROPOUT)
    assert_equal_runs(tmp_path, uninterrupted)


@pytest.mark.parametrize("way", WRITTEN)
def test_a_failure_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch, way):
    runs.run(tmp_path, {"loop": {"steps": 4}, **written(way)})
    before = tensors(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_writer, "flush_to_disk", full)
    with pytest.raises(OSError, match="No space left"):
        runs.run(tmp_path, {"loop": {"steps": 8}, **written(way)}, allow_changes=True)
    monkeypatch.undo()
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path / "checkpoints")] == ["step-00000004"]
    assert tensors(tmp_path).keys() == before.keys()
    runs.run(tmp_path, {"loop": {"steps": 8}, **written(way)}, allow_changes=True)
    assert not list((tmp_path / "checkpoints").glob(".*"))  # temporary folders are deleted


def test_the_last_checkpoints_and_the_multiples_are_kept(tmp_path):
    keep = {"checkpoints": {"every": 1, "keep_last": 2, "keep_every": 5}}
    runs.run(tmp_path, keep)
    names = [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(tmp_path / "checkpoints")]
    assert names == [5, 10, 11, 12]
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000012\n"


@pytest.mark.parametrize("way", ["sharded", "asynchronous"])
def test_shards_hold_the_weights_of_their_step(uninterrupted, tmp_path, way):
    """Also those of steps that later ones overwrote in memory while they were written."""
    runs.run(tmp_path, {**DROPOUT, **written(way)})
    for path in checkpoint.list_checkpoints(uninterrupted / "checkpoints"):
        for stem in ("model", "optimizer"):
            expected = dict(checkpoint.read_tensors(path, stem))
            found = dict(checkpoint.read_tensors(tmp_path / "checkpoints" / path.name, stem))
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_files_are_plain_json_and_safetensors(uninterrupted):
    found = checkpoint.find_checkpoint(uninterrupted)
    state = json.loads((found / "state.json").read_text())
    assert state["step"] == 12
    assert state["data"]["next_sequence"] == 12 * 8
    assert state["tokens"] == 12 * 8 * 32
    assert state["settings"]["model"]["hidden_size"] == 32
    assert state["learning_rate"] == read_metrics(uninterrupted)[-1]["learning_rate"]
    assert {path.name for path in found.iterdir()} == {*state["files"], "state.json"}
    weights = load_file(found / "model-00001.safetensors")
    moments = load_file(found / "optimizer-00001.safetensors")
    assert set(moments) == {f"{name}/{kind}" for name in weights for kind in ("exp_avg", "exp_avg_sq", "step")}


def test_several_files_hold_all_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_writer, "FILE_BYTES", 20_000)
    runs.run(tmp_path, {"loop": {"steps": 4}})
    found = checkpoint.find_checkpoint(tmp_path)
    assert len(list(found.glob("model-*.safetensors"))) > 3
    model = load_decoder(tmp_path)
    assert dict(checkpoint.read_tensors(found, "model")).keys() == dict(model.named_parameters()).keys()


def test_a_changed_byte_is_detected(tmp_path):
    runs.run(tmp_path, {"loop": {"steps": 4}})
    path = checkpoint.find_checkpoint(tmp_path) / "model-00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="not what was written"):
        runs.run(tmp_path, {"loop": {"steps": 4}})
    path.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        checkpoint.verify_checkpoint(path.parent)


def test_a_missing_checkpoint_is_reported(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        checkpoint.find_checkpoint(tmp_path)
    (tmp_path / "step-00000001").mkdir()
    (tmp_path / "step-00000001" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.read_state(checkpoint.find_checkpoint(tmp_path))
    for version in (None, 2, 99):
        (tmp_path / "step-00000001" / "state.json").write_text(json.dumps({"version": version, "step": 1}))
        with pytest.raises(CheckpointError, match=f"has format {version} and this version reads format"):
            checkpoint.read_state(checkpoint.find_checkpoint(tmp_path))


def test_another_architecture_is_refused(tmp_path):
    runs.run(tmp_path / "a", {"loop": {"steps": 1}})
    for change, fault in (
        ({"layers": 3}, "lacks"),
        ({"layers": 1}, "not in the model"),
        ({"ffn_hidden_size": 64}, "shape"),
    ):
        with pytest.raises(CheckpointError, match=fault):
            runs.run(tmp_path / "b", {"model": change}, start=tmp_path / "a")


@pytest.mark.parametrize(
    ("changes", "arguments", "fault"),
    [
        ({"schedule": {"learning_rate": 2e-2}}, {}, r"schedule\.learning_rate 0\.01 -> 0\.02"),
        ({"loop": {"steps": 13}}, {}, r"loop\.steps 12 -> 13"),
        ({}, {"source": runs.source(seed=1)}, "the data"),
    ],
)
def test_resuming_with_other_settings_or_data_is_refused(uninterrupted, changes, arguments, fault):
    with pytest.raises(CheckpointError, match=fault):
        runs.run(uninterrupted, {**DROPOUT, **changes}, **arguments)


def test_keeping_at_least_one_is_required():
    with pytest.raises(ValueError, match="keep_last"):
        CheckpointSettings(keep_last=0)


def sequences_read(run: Path, source: BatchSource, steps: range) -> list[int]:
    """The sequences of a run's steps, by what its last checkpoint says about them."""
    position = checkpoint.read_state(checkpoint.find_checkpoint(run)).data
    source = source.with_segments([Segment(*values) for values in position["segments"]])
    return [number for step in steps for number in source.sequences(step)]


def test_another_batch_size_continues_behind_what_was_read(tmp_path):
    """Twice, to a smaller and to a larger one: no sequence is read again or left out, and the run says so."""
    lines: list[str] = []
    runs.run(tmp_path, {"loop": {"steps": 10}})
    for size, steps in ((4, 20), (12, 25)):
        source = runs.source(batch_size=size)
        with pytest.raises(CheckpointError, match="the data"):
            runs.run(tmp_path, {"loop": {"steps": steps}}, source=source)
        runs.run(tmp_path, {"loop": {"steps": steps}}, source=source, allow_changes=True, log=lines.append)
    assert "data.batch_size 8 -> 4: continuing at sequence 80" in lines
    assert "data.batch_size 4 -> 12: continuing at sequence 120" in lines
    read = sequences_read(tmp_path, runs.source(batch_size=12), range(25))
    assert read == list(range(10 * 8 + 10 * 4 + 5 * 12))
    state = checkpoint.read_state(checkpoint.find_checkpoint(tmp_path))
    assert state.data["next_sequence"] == len(read)
    assert state.tokens == 32 * len(read)


def test_a_resumed_run_with_changed_batch_sizes_resumes_bitwise(tmp_path):
    """A crash between two changes: the segments are those of the checkpoint."""
    for name in ("whole", "parts"):
        runs.run(tmp_path / name, {"loop": {"steps": 4}})
        changed = {"loop": {"steps": 8}, "checkpoints": {"every": 2}}
        runs.run(tmp_path / name, changed, source=runs.source(batch_size=4), allow_changes=True)
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "step-00000008")
    runs.run(tmp_path / "parts", changed, source=runs.source(batch_size=4))
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_another_order_of_the_data_is_said_to_lose_the_position(tmp_path):
    lines: list[str] = []
    runs.run(tmp_path, {"loop": {"steps": 10}})
    source = runs.source(sequence_length=64)
    runs.run(tmp_path, {"loop": {"steps": 12}}, source=source, allow_changes=True, log=lines.append)
    assert any("continuing at sequence 40 of another order" in line for line in lines)
    assert sequences_read(tmp_path, source, range(10, 12)) == list(range(40, 56))


def damage(path: Path, kind: str) -> None:
    """A disk or a copy damages a checkpoint."""
    model = path / "model-00001.safetensors"
    if kind == "cut":
        model.write_bytes(model.read_bytes()[:-100])
    elif kind == "missing":
        model.unlink()
    elif kind == "state":
        (path / "state.json").write_text("{")
    else:
        data = bytearray((path / "optimizer-00001.safetensors").read_bytes())
        data[-5] ^= 1
        (path / "optimizer-00001.safetensors").write_bytes(data)


@pytest.mark.parametrize("kind", ["cut", "missing", "state", "bit"])
def test_a_damaged_newest_checkpoint_is_passed_over_with_one_line(uninterrupted, tmp_path, kind):
    runs.run(tmp_path, DROPOUT)
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / ".step-00000013.tmp").mkdir()  # left by a kill in the middle of a save
    damage(checkpoints / "step-00000012", kind)
    lines: list[str] = []
    runs.run(tmp_path, DROPOUT, log=lines.append)
    assert sum("set aside, step-00000008 is the newest one that is whole" in line for line in lines) == 1
    assert not any("\n" in line for line in lines)
    assert_equal_runs(tmp_path, uninterrupted)
    assert (checkpoints / "damaged-step-00000012").is_dir()


def test_damaged_checkpoints_do_not_count_among_those_that_are_kept(tmp_path):
    """Else the intact ones would be deleted in favor of the damaged ones, whose steps are higher."""
    keep = {"checkpoints": {"every": 4, "keep_last": 2}}
    runs.run(tmp_path, keep)
    damage(tmp_path / "checkpoints" / "step-00000012", "cut")
    runs.run(tmp_path, {**keep, "loop": {"steps": 11}}, allow_changes=True)
    steps = [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(tmp_path / "checkpoints")]
    assert steps == [8, 11]


def test_if_all_checkpoints_are_damaged_the_run_does_not_begin_anew(tmp_path):
    runs.run(tmp_path, {"loop": {"steps": 8}})
    for path in checkpoint.list_checkpoints(tmp_path / "checkpoints"):
        damage(path, "cut")
    with pytest.raises(CheckpointError, match=r"step-00000008/model-00001\.safetensors is missing or not what"):
        runs.run(tmp_path, {"loop": {"steps": 8}})
    assert len(checkpoint.list_checkpoints(tmp_path / "checkpoints")) == 2
