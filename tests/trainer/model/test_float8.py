"""float8: products of the rounded tensors exactly, near those of fp32; on a CPU's kernels, as no GPU is needed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.trainer import runs
from trainer.config import ConfigError
from trainer.errors import UserError
from trainer.model.build import blocks_of, build_model
from trainer.model.float8 import Float8Linear, use_float8
from trainer.model.lora import LoraSettings
from trainer.model.model_settings import ModelSettings
from trainer.tasks.pretrain_settings import change_settings

SHAPE = ModelSettings(vocab_size=64, hidden_size=32, layers=2, heads=2, ffn_hidden_size=64, context_length=32)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x as fp8 stores it: its largest value at the type's largest, in fp64."""
    unit = x.abs().max() / torch.finfo(dtype).max
    return (x / unit).to(dtype).double() * unit.double()


@pytest.mark.parametrize("rows", [16, 21])  # the kernels want multiples of 16; 21 rows are padded
def test_the_products_are_those_of_the_rounded_tensors(rows):
    x, weight, d = random(rows, 32, seed=0), random(48, 32, seed=1), random(rows, 48, seed=2) * 1e-9
    layer = Float8Linear(32, 48, bias=False)
    layer.weight = nn.Parameter(weight)
    inputs = x.clone().requires_grad_()
    result = layer(inputs)
    result.backward(d)
    x8, w8 = rounded(x, torch.float8_e4m3fn), rounded(weight, torch.float8_e4m3fn)
    d8 = rounded(d, torch.float8_e5m2)
    for found, expected, exact in (
        (result, x8 @ w8.T, x @ weight.T),
        (inputs.grad, d8 @ w8, d @ weight),
        (layer.weight.grad, d8.T @ x8, d.T @ x),
    ):
        assert found is not None
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        assert 0.005 < (found - exact).norm() / exact.norm() < 0.1  # rounded, and not by much


def test_the_result_has_autocasts_type_and_gradients_that_of_their_tensors():
    layer, x = Float8Linear(32, 16, bias=False), random(2, 8, 32, seed=0).requires_grad_()
    assert layer(x).dtype is torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        result = layer(x)
    assert result.dtype is torch.bfloat16
    assert result.shape == (2, 8, 16)
    result.sum().backward()
    assert layer.weight.grad is not None
    assert x.grad is not None
    assert layer.weight.grad.dtype is x.grad.dtype is torch.float32
    assert torch.equal(layer(torch.zeros(1, 32)), torch.zeros(1, 16))


def test_linear_layers_of_blocks_are_replaced_and_names_stay():
    sparse = SHAPE.model_copy(update={"lora": LoraSettings(targets=("q",))})
    model = build_model(sparse)
    names = [name for name, _ in model.named_parameters()]
    use_float8(blocks_of(model))
    assert [name for name, _ in model.named_parameters()] == names
    replaced = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, Float8Linear)}
    assert replaced == {"k", "v", "out", "gate", "up", "down"}
    with pytest.raises(UserError, match=r"multiples of 16 as rows and columns, and gate has 40 x 32"):
        use_float8(blocks_of(build_model(SHAPE.model_copy(update={"ffn_hidden_size": 40}))))


def test_a_model_in_fp8_learns_nearly_what_one_in_fp32_learns():
    tokens = runs.source(8, 32).batch(0)
    learned = []
    for convert in (False, True):
        model = runs.build_decoder(SHAPE)
        if convert:
            weights = model.state_dict()
            use_float8(blocks_of(model))
            model.to_empty(device="cpu").load_state_dict(weights)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            loss = model(tokens.inputs, tokens.targets).loss
            assert loss is not None
            (loss / tokens.targets.numel()).backward()
            optimizer.step()
            losses.append(float(loss.detach()) / tokens.targets.numel())
        learned.append(losses[0] - losses[-1])
    assert learned[0] > 2
    assert learned[1] == pytest.approx(learned[0], rel=0.05)


def test_a_machine_without_fp8_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"float8 needs a GPU .* and this is CPU \(.*\); use bfloat16"):
        runs.run(tmp_path / "run", {"loop": {"precision": "float8"}})
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written == {"experiment.json", "outcome.json", "training.lock"}  # only the record of what was tried


def test_divided_matrices_are_refused():
    with pytest.raises(ConfigError, match=r"float8 multiplies whole matrices; set parallel\.tensor = 1"):
        change_settings(runs.settings(), ["loop.precision=float8", "parallel.tensor=2"])
