"""parallelize: every axis of the mesh, alone and in pairs, equals one process; checkpoints move between meshes.

Tolerances: losses 1e-5, gradient norms 1e-4, weights after three steps 1e-4 or 5e-5. In fp32 only the order of sums
differs; Adam divides by small gradients, which widens it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import runs
from tests.trainer.ranks import run_ranks
from trainer.config import ConfigError
from trainer.errors import UserError
from trainer.tasks.pretrain_settings import change_settings
from trainer.training import checkpoint
from trainer.training.checkpoint import read_tensors
from trainer.training.mesh import MeshShape, ParallelSettings, fit_mesh
from trainer.training.metrics import read_metrics

# Without what a rank decides by its own tokens: capacity and balance.
SPARSE = {"model": {"experts": {"num_experts": 4, "every": 2, "capacity_factor": None, "router_aux_loss_coef": 0.0}}}
UNTIED = {"model": {"tie_embeddings": False, "z_loss": 1e-3, "vocab_multiple": 10}}
# Sequences of any length, some with attention in both directions.
DENOISE: dict[str, Any] = {"objective": {"denoisers": [{}, {"noise": "prefix"}], "first_sentinel": 50, "sentinels": 10}}
STEPS: dict[str, Any] = {"loop": {"steps": 3, "micro_batch_size": 4}}
HALF: dict[str, Any] = {"loop": {"steps": 2, "precision": "bfloat16"}}
MUON: dict[str, Any] = {"optimizer": {"algorithm": "muon"}}
WRITTEN: dict[str, Any] = {"checkpoints": {"every": 1, "keep_last": 10, "sharded": True, "asynchronous": True}}
SCENARIOS: dict[int, dict[str, dict[str, Any]]] = {
    2: {
        "tensor": {**UNTIED, **STEPS, "parallel": {"tensor": 2}},
        "tensor_muon": {**SPARSE, **STEPS, **MUON, "parallel": {"tensor": 2}},
        "tensor_denoising": {**DENOISE, **STEPS, "parallel": {"tensor": 2}},
        "expert": {**SPARSE, **STEPS, "parallel": {"expert": 2}},
        "expert_muon": {**SPARSE, **STEPS, **MUON, "parallel": {"expert": 2}},
        "half_tensor": {**SPARSE, **HALF, "parallel": {"tensor": 2}},
        "half_expert": {**SPARSE, **HALF, "parallel": {"expert": 2}},
        "written": {**STEPS, **WRITTEN},
        "written_ddp": {**STEPS, **WRITTEN, "parallel": {"shard": 1}},
    },
    4: {
        "data_shard": {**STEPS, "parallel": {"data": 2}},
        "shard_tensor": {**STEPS, "parallel": {"tensor": 2}},
        "data_tensor": {**STEPS, "parallel": {"tensor": 2, "shard": 1}},
        "shard_expert": {**SPARSE, **STEPS, "parallel": {"expert": 2}},
        "data_expert": {**SPARSE, **STEPS, "parallel": {"expert": 2, "shard": 1}},
        "expert_tensor": {**SPARSE, **STEPS, "parallel": {"expert": 2, "tensor": 2}},
    },
}
# A run of ten steps whose checkpoints move: the ranks of each two steps, and how they divide the model.
MOVES: list[tuple[int, dict[str, Any]]] = [(1, {}), (4, {"tensor": 2}), (2, {"expert": 2}), (2, {"shard": 1}), (1, {})]
SCRIPT = """
import sys
from pathlib import Path
import torch.distributed as dist
from tests.trainer import runs
from tests.trainer.training import test_parallelize
dist.init_process_group("gloo")
test_parallelize.move(Path(sys.argv[1]) / "moved", dist.get_world_size())
for name, changes in test_parallelize.SCENARIOS[dist.get_world_size()].items():
    runs.run(Path(sys.argv[1]) / name, changes)
dist.destroy_process_group()
"""


def moved_run(stage: int) -> dict[str, Any]:
    """The settings up to the end of a stage, without its mesh: shards, in the background, and gathered once."""
    written = {"sharded": stage != 2, "asynchronous": stage == 1, "every": 100}
    constant = {"schedule": {"shape": "constant", "learning_rate": 3e-3, "warmup_steps": 1}}
    return {**SPARSE, **constant, "loop": {"steps": 2 * stage + 2}, "checkpoints": written}


def move(folder: Path, ranks: int) -> None:
    """The stages of this number of ranks; the last one of a single process is run by the test."""
    for stage, (number, parallel) in enumerate(MOVES[:-1]):
        if number == ranks:
            runs.run(folder, {**moved_run(stage), "parallel": parallel}, allow_changes=True)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> Path:
    """The folder with a run of each scenario by its number of ranks."""
    out = tmp_path_factory.mktemp("ranks")
    move(out / "moved", 1)
    for number in (4, 2):
        run_ranks(number, SCRIPT, out)
    return out


def assert_equal_weights(first: Path, second: Path) -> None:
    found, expected = (dict(read_tensors(checkpoint.find_checkpoint(run), "model")) for run in (first, second))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=5e-5, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize(
    "name", [name for group in SCENARIOS.values() for name in group if not name.startswith("half")]
)
def test_every_mesh_equals_one_process(ranks, tmp_path, name):
    (changes,) = [group[name] for group in SCENARIOS.values() if name in group]
    runs.run(tmp_path, {key: value for key, value in changes.items() if key != "parallel"})
    assert_equal_weights(ranks / name, tmp_path)
    for a, b in zip(read_metrics(tmp_path), read_metrics(ranks / name), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
        assert a["tokens"] == b["tokens"]
        assert a["domains"]["none"] == pytest.approx(b["domains"]["none"], rel=1e-5)
        for field in ("load", "z") if "experts" in a else ():
            torch.testing.assert_close(torch.tensor(a["experts"][field]), torch.tensor(b["experts"][field]))


@pytest.mark.parametrize("name", ["half_tensor", "half_expert"])
def test_bf16_on_a_mesh_is_near_one_process(ranks, tmp_path, name):
    runs.run(tmp_path, {**SPARSE, **HALF})
    for a, b in zip(read_metrics(tmp_path), read_metrics(ranks / name), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=5e-3)


def test_checkpoints_move_between_meshes(ranks, tmp_path):
    """One process, shards and columns, experts, copies, one process again: as if it had never moved."""
    last = moved_run(len(MOVES) - 1)
    shutil.copytree(ranks / "moved", tmp_path / "moved")
    runs.run(tmp_path / "moved", last, allow_changes=True)
    runs.run(tmp_path / "whole", last)
    assert checkpoint.read_state(checkpoint.find_checkpoint(tmp_path / "moved")).step == 10
    assert_equal_weights(tmp_path / "moved", tmp_path / "whole")
    for a, b in zip(read_metrics(tmp_path / "whole"), read_metrics(tmp_path / "moved"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)


def test_shards_are_files_of_their_ranks_and_whole_by_their_hashes(ranks, tmp_path):
    found = checkpoint.find_checkpoint(ranks / "written")
    assert {path.name for path in found.glob("*.safetensors")} == {
        "rng.safetensors",
        *(f"{stem}-{rank:05d}.safetensors" for stem in ("model", "optimizer") for rank in (1, 2)),
    }
    sizes = [(found / f"model-{rank:05d}.safetensors").stat().st_size for rank in (1, 2)]
    assert max(sizes) < 1.2 * min(sizes)
    checkpoint.verify_checkpoint(found)
    assert checkpoint.list_checkpoints(found.parent) == [found.parent / f"step-{step:08d}" for step in (1, 2, 3)]
    shutil.copytree(found, tmp_path / "damaged")
    (tmp_path / "damaged" / "optimizer-00002.safetensors").unlink()
    for use in (checkpoint.verify_checkpoint, lambda path: dict(read_tensors(path, "model"))):
        with pytest.raises(checkpoint.CheckpointError, match=r"optimizer-00002\.safetensors is missing"):
            use(tmp_path / "damaged")


@pytest.mark.parametrize(
    ("values", "ranks", "shape"),
    [
        ({}, 8, MeshShape(shard=8)),
        ({"shard": 1}, 8, MeshShape(data=8)),
        ({"data": 2}, 8, MeshShape(data=2, shard=4)),
        ({"shard": 2, "tensor": 2}, 8, MeshShape(data=2, shard=2, tensor=2)),
        ({"expert": 2, "tensor": 2, "data": 2}, 8, MeshShape(data=2, expert=2, tensor=2)),
    ],
)
def test_axes_that_are_unset_take_the_other_ranks(values, ranks, shape):
    assert fit_mesh(ParallelSettings(**values), ranks) == shape
    assert shape.ranks == ranks


@pytest.mark.parametrize("values", [{"tensor": 3}, {"data": 2, "shard": 2}, {"tensor": 16}])
def test_axes_whose_product_is_not_the_number_of_ranks_are_refused(values):
    with pytest.raises(UserError, match="cannot be the axes of 8 ranks"):
        fit_mesh(ParallelSettings(**values), 8)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (["parallel.tensor=4"], r"model\.kv_heads = 2 cannot be divided among parallel\.tensor = 4"),
        (["parallel.expert=2"], r"parallel\.expert is above 1 and the model has no experts"),
        (["model.experts={}", "parallel.expert=3"], r"model\.experts\.num_experts = 8 cannot be divided"),
        (["checkpoints.asynchronous=true"], r"checkpoints\.asynchronous writes shards"),
    ],
)
def test_axes_that_do_not_divide_the_model_are_refused(changes, fault):
    with pytest.raises(ConfigError, match=fault):
        change_settings(runs.settings(), changes)
