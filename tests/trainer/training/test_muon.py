"""muon: every matrix of a weight is made orthogonal alone, as torch's Muon and a singular value decomposition do."""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.trainer import runs
from tests.trainer.model.small_models import SPARSE, TINY
from tests.trainer.ranks import run_ranks
from tests.trainer.runs import build_decoder
from trainer.model.build import build_model
from trainer.model.lora import LoraSettings
from trainer.training import checkpoint
from trainer.training.distributed import full_tensor
from trainer.training.metrics import read_metrics
from trainer.training.muon import RMS, A, B, C, Muon, orthogonalize
from trainer.training.optimizer import OptimizerSettings, build_optimizer, moments, set_learning_rate

MUON = OptimizerSettings.model_validate({"algorithm": "muon"})
RUN = {"optimizer": {"algorithm": "muon"}}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_iteration_changes_singular_values_alone():
    """U S V^T becomes U f(S) V^T, f the polynomial applied five times; computed in double precision."""
    matrix = random(12, 20).double()
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.norm()
    for _ in range(5):
        s = A * s + B * s**3 + C * s**5
    torch.testing.assert_close(orthogonalize(matrix), u @ torch.diag(s) @ vh)
    assert ((s > 0.6) & (s < 1.25)).all()  # near an orthogonal matrix


def step_of(weight: torch.Tensor, gradients: list[torch.Tensor]) -> torch.Tensor:
    """The weight after a step for each gradient, at learning rate 0.02 and weight decay 0.1."""
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = Muon([parameter], 0.95, 0.1)
    set_learning_rate(optimizer, 0.02)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (16, 16)])
def test_one_matrix_equals_torchs_muon(shape):
    """torch's is in bf16, ours here in fp32: equal to the rounding of an update."""
    weight, gradients = random(*shape), [random(*shape, seed=number) for number in (1, 2, 3)]
    theirs = torch.nn.Parameter(weight.clone())
    optimizer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        theirs.grad = gradient.clone()
        optimizer.step()
    found = step_of(weight, gradients)
    torch.testing.assert_close(found - weight, theirs.detach() - weight, rtol=0.05, atol=3 * 0.02 * RMS * 0.05)


def test_experts_of_one_weight_are_updated_alone():
    whole, gradient = random(3, 16, 24), random(3, 16, 24, seed=1)
    found = step_of(whole, [gradient])
    for expert in range(3):
        torch.testing.assert_close(found[expert], step_of(whole[expert], [gradient[expert]]))


@pytest.mark.parametrize("settings", [TINY, SPARSE, TINY.model_copy(update={"kv_heads": None, "encoder_layers": 2})])
def test_matrices_of_blocks_are_muons_and_all_other_weights_adamws(settings):
    model = build_model(settings)
    muon, *rest = (group["params"] for group in build_optimizer(model, MUON).param_groups)
    names = {id(weight): name for name, weight in model.named_parameters()}
    others = [names[id(weight)] for group in rest for weight in group]
    assert all(any(part in name for part in ("norm", "router", "bias", "embedding")) for name in others)
    assert not any(part in names[id(w)] for part in ("norm", "router", "bias", "embedding") for w in muon)
    assert len(muon) + len(others) == len(names)


def test_adapters_alone_are_all_muons():
    """LoRA freezes all other weights, and AdamW refuses an empty list."""
    model = build_model(TINY.model_copy(update={"lora": LoraSettings()}))
    (group,) = build_optimizer(model, MUON).param_groups
    assert len(group["params"]) == 2 * 7 * TINY.layers


def test_a_matrix_may_have_a_rate_of_its_own():
    optimizer = build_optimizer(build_decoder(TINY), MUON.model_copy(update={"matrix_rate": 3.0}))
    set_learning_rate(optimizer, 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.03, 0.01])


def test_a_run_learns_and_resumes_bitwise(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs.run(whole, RUN)
    runs.run(parts, RUN)
    shutil.rmtree(parts / "checkpoints" / "step-00000012")
    runs.run(parts, RUN)
    a, b = (dict(checkpoint.read_tensors(checkpoint.find_checkpoint(path), "model")) for path in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    losses = [row["loss"] for row in read_metrics(whole)]
    assert losses[-1] < losses[0] - 0.3


def test_the_state_has_names_that_checkpoints_know():
    model = build_decoder(SPARSE)
    optimizer = build_optimizer(model, MUON)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    found = [name for name, _ in moments(model, optimizer)]
    kinds = {
        name: {key.partition("/")[2] for key in found if key.startswith(f"{name}/")}
        for name, _ in model.named_parameters()
    }
    assert kinds["blocks.1.feed_forward.down"] == kinds["blocks.0.attention.q.weight"] == {"momentum_buffer"}
    assert kinds["embedding.weight"] == kinds["norm.weight"] == {"exp_avg", "exp_avg_sq", "step"}
    assert sum(len(state) for state in optimizer.state.values()) == len(found)


def compiled_step(weight: torch.Tensor, gradient: torch.Tensor, compiled: bool = True) -> torch.Tensor:
    """The weight after a step; a DTensor's as a whole."""
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = gradient.clone()
    optimizer = Muon([parameter], 0.95, 0.1, compiled=compiled)
    set_learning_rate(optimizer, 0.02)
    optimizer.step()
    return full_tensor(parameter)


@pytest.mark.slow
def test_compiled_equals_eager():
    weight, gradient = random(24, 16), random(24, 16, seed=1)
    torch.testing.assert_close(compiled_step(weight, gradient), compiled_step(weight, gradient, compiled=False))


SHARDED = """
import sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from tests.trainer.training.test_muon import compiled_step, random
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
weight, gradient = (distribute_tensor(random(24, 16, seed=seed), mesh, [Shard(0)]) for seed in (0, 1))
found = compiled_step(weight, gradient)
if dist.get_rank() == 0:
    torch.save(found, sys.argv[1])
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_a_sharded_matrix_compiled_equals_a_whole_one(tmp_path):
    run_ranks(2, SHARDED, tmp_path / "weight.pt")
    expected = compiled_step(random(24, 16), random(24, 16, seed=1), compiled=False)
    torch.testing.assert_close(torch.load(tmp_path / "weight.pt", weights_only=True), expected)
