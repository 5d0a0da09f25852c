"""distributed: two ranks over gloo equal one process, with the same data in the same order."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule

from tests.trainer import runs
from tests.trainer.ranks import run_ranks
from trainer.model.build import build_model
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_parameters
from trainer.model.weights import initialize_weights
from trainer.training import checkpoint
from trainer.training.checkpoint import read_tensors
from trainer.training.distributed import build_world
from trainer.training.mesh import MeshShape
from trainer.training.metrics import read_metrics
from trainer.training.parallelize import exchange_gradients, parallelize

SPARSE = {"model": {"experts": {"num_experts": 4, "every": 2, "capacity_factor": None, "router_aux_loss_coef": 0.0}}}
DENOISE = {"model": {"tie_embeddings": False}, "objective": {"denoisers": [{}], "first_sentinel": 50, "sentinels": 10}}
DDP, BF16 = {"parallel": {"shard": 1}}, {"precision": "bfloat16"}
SCENARIOS: dict[str, dict[str, Any]] = {
    "ddp": {**DDP, "loop": {"steps": 6, "micro_batch_size": 2}},
    "fsdp": {"loop": {"steps": 6, "micro_batch_size": 2}},
    "deferred": {"loop": {"steps": 6, "micro_batch_size": 2}, "parallel": {"defer_gradients": True}},
    "sparse": {**SPARSE, "loop": {"steps": 6}},
    "half": {**SPARSE, "loop": {"steps": 6, **BF16}},
    "half_ddp": {**SPARSE, **DDP, "loop": {"steps": 6, **BF16}},
    "denoise": {**DENOISE, "loop": {"steps": 6}},
    "muon": {"optimizer": {"algorithm": "muon"}, "loop": {"steps": 6}},
    "sparse_muon": {**SPARSE, "optimizer": {"algorithm": "muon"}, "loop": {"steps": 6}},
    "begun_by_one": {"loop": {"steps": 6}},
}
SCRIPT = """
import sys
from pathlib import Path
import torch.distributed as dist
from tests.trainer import runs
from tests.trainer.training import test_distributed
dist.init_process_group("gloo")
for name, changes in test_distributed.SCENARIOS.items():
    runs.run(Path(sys.argv[1]) / name, changes)
for defer in (False, True):
    held = test_distributed.measure_gradients(defer)
    if dist.get_rank() == 0:
        (Path(sys.argv[1]) / f"held-{defer}").write_text(str(held))
dist.destroy_process_group()
"""


def measure_gradients(defer: bool) -> float:
    """Bytes of gradients that this rank of two holds after the first of two micro-batches, over 4 for each weight.

    FSDP's own attributes say what it holds: sharded gradients are those of the parameters, whole ones are kept beside
    them until they are reduced.
    """
    world = build_world(dist.get_rank(), torch.device("cpu"), MeshShape(shard=2))
    shape = ModelSettings(vocab_size=512, hidden_size=64, layers=4, heads=4, context_length=32)
    model = build_model(shape)
    module = parallelize(model, world, bf16=False)
    initialize_weights(model, 0)
    tokens = torch.randint(0, 512, (2, 32))
    with exchange_gradients(module, False, defer):
        module(tokens, tokens).loss.backward()
    groups = [part._get_fsdp_state()._fsdp_param_group for part in model.modules() if isinstance(part, FSDPModule)]
    parameters = [parameter for group in groups if group for parameter in group.fsdp_params]
    whole = [parameter.unsharded_accumulated_grad for parameter in parameters]
    whole += [getattr(getattr(parameter, "_unsharded_param", None), "grad", None) for parameter in parameters]
    sharded = [weight.grad.to_local() for weight in model.parameters() if weight.grad is not None]
    return sum(gradient.nbytes for gradient in [*whole, *sharded] if gradient is not None) / (
        4 * count_parameters(shape)
    )


def begin_alone(folder: Path) -> None:
    """Four steps of six, as a run that was stopped leaves them."""
    runs.run(folder, {"loop": {"steps": 6}})
    shutil.rmtree(folder / "checkpoints" / "step-00000006")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> Path:
    """The folder with a run of each scenario by two ranks."""
    out = tmp_path_factory.mktemp("two")
    begin_alone(out / "begun_by_one")
    run_ranks(2, SCRIPT, out)
    return out


@pytest.mark.parametrize("name", [name for name in SCENARIOS if not name.startswith("half")])
def test_two_ranks_equal_one(two_ranks, tmp_path, name):
    alone = tmp_path / name
    runs.run(alone, SCENARIOS[name])
    state = checkpoint.read_state(checkpoint.find_checkpoint(two_ranks / name))
    assert (state.world, state.step) == (2, 6)
    expected = dict(read_tensors(checkpoint.find_checkpoint(alone), "model"))
    found = dict(read_tensors(checkpoint.find_checkpoint(two_ranks / name), "model"))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=2e-5)
    for a, b in zip(read_metrics(alone), read_metrics(two_ranks / name), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
        assert a["tokens"] == b["tokens"]
        assert a["domains"]["none"] == pytest.approx(b["domains"]["none"], rel=1e-5)
        for name in ("load", "z") if "experts" in a else ():  # the balance of a rank is its own, no mean of tokens
            torch.testing.assert_close(torch.tensor(a["experts"][name]), torch.tensor(b["experts"][name]))


def test_two_ranks_in_bf16_are_near_one(two_ranks, tmp_path):
    """Products in bf16, rounded at other places; sums, weights and the router in fp32."""
    runs.run(tmp_path, SCENARIOS["half"])
    for a, b in zip(read_metrics(tmp_path), read_metrics(two_ranks / "half"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=5e-3)
    assert checkpoint.read_state(checkpoint.find_checkpoint(two_ranks / "half")).precision == "bfloat16"
    found = dict(read_tensors(checkpoint.find_checkpoint(two_ranks / "half"), "model"))
    assert {value.dtype for value in found.values()} == {torch.float32}


def test_bf16_means_the_same_in_ddp_and_fsdp(two_ranks):
    """Products in bf16, the residual stream and everything else in fp32: only the order of sums differs."""
    for a, b in zip(read_metrics(two_ranks / "half_ddp"), read_metrics(two_ranks / "half"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=2e-4)
    ddp, fsdp = (read_metrics(two_ranks / name)[0] for name in ("half_ddp", "half"))
    assert ddp["loss"] == pytest.approx(fsdp["loss"], rel=1e-6)  # of equal weights
    assert ddp["gradient_norm"] == pytest.approx(fsdp["gradient_norm"], rel=1e-3)


def test_gradients_stay_sharded_between_micro_batches(two_ranks):
    assert float((two_ranks / "held-False").read_text()) == pytest.approx(0.5, abs=0.02)
    assert float((two_ranks / "held-True").read_text()) == pytest.approx(1.0, abs=0.02)


def test_one_process_resumes_where_two_stopped(two_ranks, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(two_ranks / "fsdp", folder)
    shutil.rmtree(folder / "checkpoints" / "step-00000006")
    lines: list[str] = []
    runs.run(folder, SCENARIOS["fsdp"], log=lines.append)
    assert any("2 ranks wrote" in line for line in lines)
    expected = dict(read_tensors(checkpoint.find_checkpoint(two_ranks / "fsdp"), "model"))
    for key, value in read_tensors(checkpoint.find_checkpoint(folder), "model"):
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_read_the_rows_that_one_process_reads(world):
    source = runs.source()
    for step in (0, 7, 100):
        whole = source.batch(step)
        parts = [source.batch(step, rank, world) for rank in range(world)]
        for name, tensor in vars(whole).items():
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), tensor)
