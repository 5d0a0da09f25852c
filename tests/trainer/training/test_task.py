"""task: the loop trains anything that implements the protocol, here a line through points, without data or prefetch."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.training.test_loop import ALONE
from trainer.model.weights import fill_weight
from trainer.training import checkpoint
from trainer.training.loop import TrainingResult, train
from trainer.training.metrics import read_metrics
from trainer.training.step import Replica
from trainer.training.task import StepGradient, Workload
from trainer.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings.model_validate(
    {
        "loop": {"steps": 20, "precision": "float32", "threads": 1, "validate_every": 10},
        "schedule": {"learning_rate": 0.1, "warmup_steps": 0},
        "checkpoints": {"every": 5, "keep_last": 9},
    }
)

WORKLOAD = Workload(parameters=1, active_parameters=1, flops_per_token=6.0, tokens_per_step=8, domains=[])


@dataclass
class FitLine:
    """Learn y = 3 x from points that depend on the step."""

    prefetches: bool
    settings: TrainingSettings = SETTINGS
    fingerprint: str = "y = 3 x"
    workload: Workload = WORKLOAD
    texts: dict[str, str] = field(default_factory=lambda: {"units.json": '{"x": "m"}'})
    threads: set[str] = field(default_factory=set)  # that prepared a step

    def build_model(self) -> nn.Module:
        return nn.Linear(1, 1, bias=False, device="meta")

    def initialize(self, model: nn.Module) -> None:
        fill_weight(model.weight, torch.zeros(1, 1))

    def prepare(self, step: int, world: Any) -> Tensor:
        self.threads.add(threading.current_thread().name)
        return torch.randn(8, 1, generator=torch.Generator().manual_seed(step))

    def add_gradient(self, prepared: Tensor, replica: Replica) -> StepGradient:
        loss = (replica.module(prepared) - 3 * prepared).square().mean()
        loss.backward()
        return StepGradient(float(loss.detach()), 8, 8, {"slope": float(replica.module.weight.detach())}, list)

    def position(self, step: int) -> dict[str, Any]:
        return {"point": 8 * step}

    def resume_at(self, step: int, position: dict[str, Any]) -> tuple[FitLine, str | None]:
        assert position["point"] == 8 * step
        return self, None

    def compare_texts(self, stored: Mapping[str, str]) -> str | None:
        return None if stored == self.texts else "other units"

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        return {"loss": abs(3 - float(replica.module.weight.detach()))}


def fit(task: FitLine, out: Path) -> TrainingResult:
    return train(task, out, ALONE, log=lambda _: None)


@pytest.mark.parametrize("prefetches", [True, False])
def test_the_loop_trains_any_task(tmp_path, prefetches):
    task = FitLine(prefetches)
    result = fit(task, tmp_path)
    rows = read_metrics(tmp_path)
    assert (result.steps, result.tokens) == (20, 160)
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert rows[-1]["slope"] > rows[0]["slope"]
    assert [row["step"] for row in rows if "validation" in row] == [10, 20]
    assert (threading.current_thread().name in task.threads) is not prefetches


def test_any_task_resumes_bitwise(tmp_path):
    for name in ("whole", "parts"):
        fit(FitLine(True), tmp_path / name)
    for path in checkpoint.list_checkpoints(tmp_path / "parts" / "checkpoints")[1:]:
        for file in path.iterdir():
            file.unlink()
    fit(FitLine(True), tmp_path / "parts")
    whole, parts = (
        dict(checkpoint.read_tensors(checkpoint.find_checkpoint(tmp_path / n), "model")) for n in ("whole", "parts")
    )
    assert torch.equal(whole["weight"], parts["weight"])
    assert [row["loss"] for row in read_metrics(tmp_path / "whole")] == [
        row["loss"] for row in read_metrics(tmp_path / "parts")
    ]


def test_other_data_is_refused(tmp_path):
    fit(FitLine(True), tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="the data"):
        fit(FitLine(True, fingerprint="y = 4 x"), tmp_path)


def test_texts_are_stored_with_every_checkpoint_and_other_ones_are_refused(tmp_path):
    fit(FitLine(True), tmp_path)
    found = checkpoint.find_checkpoint(tmp_path)
    assert (found / "units.json").read_text() == '{"x": "m"}'
    with pytest.raises(checkpoint.CheckpointError, match="other units"):
        fit(FitLine(True, texts={"units.json": '{"x": "km"}'}), tmp_path)
    (found / "units.json").write_text('{"x": "k"}')
    with pytest.raises(checkpoint.CheckpointError, match="not what was written"):
        checkpoint.read_texts(found, ["units.json"])


class Overfit(FitLine):
    """The validation data is of another line, y = x: its loss falls while the slope rises to 1, then it rises."""

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        return {"loss": abs(1 - float(replica.module.weight.detach()))}


def test_the_best_checkpoint_is_kept_and_used_and_the_run_ends_early(tmp_path):
    changes = {
        "loop": SETTINGS.loop.model_copy(update={"validate_every": 2, "patience": 3, "steps": 60}),
        "checkpoints": SETTINGS.checkpoints.model_copy(update={"every": 4, "keep_last": 1, "keep_best": True}),
    }
    task, lines = Overfit(True, settings=SETTINGS.model_copy(update=changes)), list[str]()
    result = train(task, tmp_path / "whole", ALONE, log=lines.append)
    rows = read_metrics(tmp_path / "whole")
    losses = {row["step"]: row["validation"]["loss"] for row in rows if "validation" in row}
    best = min(losses, key=losses.__getitem__)
    assert 2 < best < result.steps == best + 6 < 60  # three validations later
    folder = tmp_path / "whole" / "checkpoints"
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(folder)] == [best, result.steps]
    found = checkpoint.find_checkpoint(tmp_path / "whole")
    assert checkpoint.step_of(found) == best
    slope = float(dict(checkpoint.read_tensors(found, "model"))["weight"])
    assert abs(1 - slope) == pytest.approx(losses[best], abs=1e-6)
    assert checkpoint.find_checkpoint(folder / f"step-{result.steps:08d}").name.endswith(str(result.steps))
    assert lines[-1].startswith(f"ended at step {result.steps}: 3 validations without a lower loss")
    assert train(task, tmp_path / "whole", ALONE, log=lines.append).steps == result.steps  # it stays ended

    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / f"step-{result.steps:08d}")
    assert train(task, tmp_path / "cut", ALONE, log=lines.append).steps == result.steps  # from the best one
    assert checkpoint.step_of(checkpoint.find_checkpoint(tmp_path / "cut")) == best


def test_without_keep_best_the_last_checkpoint_is_used(tmp_path):
    fit(Overfit(True), tmp_path)
    assert checkpoint.step_of(checkpoint.find_checkpoint(tmp_path)) == 20
