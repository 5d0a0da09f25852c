"""muon: every matrix of a weight is made orthogonal alone, as torch's Muon and a singular value decomposition do."""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.trainer import runs
from tests.trainer.model.small_models import SPARSE, TINY
from tests.trainer.runs import build_decoder
from trainer.model.build import build_model
from trainer.model.matrices import Stack, find_matrices
from trainer.training import checkpoint
from trainer.training.metrics import read_metrics
from trainer.training.muon import RMS, A, B, C, Muon, orthogonalize
from trainer.training.optimizer import MOMENTS, OptimizerSettings, build_optimizer, moments, set_learning_rate

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


def step_of(weight: torch.Tensor, gradients: list[torch.Tensor], stack: Stack) -> torch.Tensor:
    """The weight after a step for each gradient, at learning rate 0.02 and weight decay 0.1."""
    parameter = torch.nn.Parameter(weight.clone())
    optimizer = Muon({parameter: stack}, 0.95, 0.1)
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
    found = step_of(weight, gradients, Stack(-2, (shape[0],)))
    torch.testing.assert_close(found - weight, theirs.detach() - weight, rtol=0.05, atol=3 * 0.02 * RMS * 0.05)


def test_matrices_of_one_weight_are_updated_alone():
    """Rows of a stack, columns of a stack and experts: as if each matrix were a weight."""
    whole, gradient = random(2, 16, 24), random(2, 16, 24, seed=1)
    columns = step_of(whole, [gradient], Stack(-1, (12, 12)))
    rows = step_of(whole, [gradient], Stack(-2, (8, 4, 4)))
    for expert in range(2):
        for part in (slice(0, 12), slice(12, 24)):
            place = (expert, slice(None), part)
            torch.testing.assert_close(columns[place], step_of(whole[place], [gradient[place]], Stack(-2, (16,))))
        for part in (slice(0, 8), slice(8, 12), slice(12, 16)):
            place = (expert, part)
            torch.testing.assert_close(
                rows[place], step_of(whole[place], [gradient[place]], Stack(-2, (whole[place].shape[0],)))
            )


@pytest.mark.parametrize("settings", [TINY, SPARSE, TINY.model_copy(update={"kv_heads": None, "encoder_layers": 2})])
def test_matrices_of_blocks_are_muons_and_all_other_weights_adamws(settings):
    model = build_model(settings)
    stacks = find_matrices(model)
    others = {name for name, _ in model.named_parameters()} - stacks.keys()
    assert all(any(part in name for part in ("norm", "router", "bias", "embedding")) for name in others)
    for name, stack in stacks.items():
        assert sum(stack.sizes) == model.get_parameter(name).shape[stack.dim]
    muon, *rest = build_optimizer(model, MUON).param_groups
    assert len(muon["params"]) == len(stacks)
    assert len({id(p) for group in (muon, *rest) for p in group["params"]}) == len(list(model.parameters()))


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
    names = {name.partition("/") for name, _ in moments(model, optimizer)}
    kinds = {(name in find_matrices(model), moment) for name, _, moment in names}
    assert kinds == {(True, "momentum_buffer"), *((False, moment) for moment in MOMENTS if moment != "momentum_buffer")}
    assert sum(len(state) for state in optimizer.state.values()) == len(names)


@pytest.mark.slow
def test_compiled_equals_eager():
    weight, gradient = random(24, 16), random(24, 16, seed=1)
    results = []
    for compiled in (False, True):
        parameter = torch.nn.Parameter(weight.clone())
        parameter.grad = gradient.clone()
        optimizer = Muon({parameter: Stack(-2, (24,))}, 0.95, 0.1, compiled=compiled)
        set_learning_rate(optimizer, 0.02)
        optimizer.step()
        results.append(parameter.detach())
    torch.testing.assert_close(*results)
