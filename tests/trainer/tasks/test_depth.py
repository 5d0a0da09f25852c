"""depth: the rules against their formulas."""

from __future__ import annotations

import math

import pytest

from trainer.model.build import build_model
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token
from trainer.tasks.depth import DepthSettings, plan_depth

SMALL = DepthSettings(aspect_ratio=24, head_dim=16, sequence_length=64, tokens_per_parameter=3, rate=0.3, batch=0.25)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_rules_are_those_of_the_docstring(depth):
    plan = plan_depth(depth, 1000, SMALL)
    shape = plan["model"]
    assert shape["hidden_size"] == 16 * math.ceil(24 * depth / 16)
    assert (shape["layers"], shape["heads"]) == (depth, shape["hidden_size"] // 16)
    model = ModelSettings.model_validate(shape)
    weights = sum(weight.numel() for weight in build_model(model).parameters())
    read = plan["loop"]["steps"] * plan["data"]["batch_size"] * 64
    assert read == pytest.approx(3 * weights, rel=0.05)
    flop = 3 * weights * count_flops_per_token(model, 64)
    assert plan["schedule"]["learning_rate"] == pytest.approx(0.3 * flop**-0.125)
    assert plan["data"]["batch_size"] / (0.25 * flop**0.3271 / 64) == pytest.approx(1, abs=0.5)
    assert plan["schedule"]["warmup_steps"] == pytest.approx(plan["loop"]["steps"] / 10, abs=1)
