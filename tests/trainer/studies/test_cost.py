from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from trainer.errors import UserError
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.studies.cost import CHINCHILLA, CostSettings, estimate_cost, format_cost, serving_optimum


def llama() -> ModelSettings:
    """Llama 3 405B as its paper's table 3 gives it."""
    return ModelSettings(
        vocab_size=128_256,
        hidden_size=16_384,
        layers=126,
        heads=128,
        kv_heads=8,
        ffn_hidden_size=53_248,
        context_length=8192,
        tie_embeddings=False,
    )


def test_llama_3_405b_from_its_shape() -> None:
    """405B parameters, 3.8e25 FLOP, 26 to 30 million H100 hours at 38-43% MFU and its goodput above 90%."""
    size = count_parameters(llama())
    assert size == pytest.approx(405e9, rel=0.005)
    planned = CostSettings(parameters=size, tokens=15.6e12, devices=16_384, mfu=0.41)
    cost = estimate_cost(planned)
    assert cost.flop == pytest.approx(3.8e25, rel=0.005)
    assert 25.5e6 < cost.device_hours < 26.5e6
    assert 60 < cost.days < 70
    with_attention = count_flops_per_token(llama(), 8192) - 6 * (size - 128_256 * 16_384)
    slower = estimate_cost(planned.model_copy(update={"mfu": 0.40, "goodput": 0.92, "attention": with_attention}))
    assert 28e6 < slower.device_hours < 31e6  # its model card says 30.84 million


def test_llama_3_405b_carbon_is_that_of_its_model_card() -> None:
    """30.84 million hours at 700 W and 0.414 kg/kWh: 8,930 tonnes."""
    hours = estimate_cost(CostSettings(parameters=405e9, tokens=15.6e12)).device_hours
    planned = CostSettings(parameters=405e9, tokens=15.6e12 * 30.84e6 / hours, overhead=1.0, grid=0.4137)
    assert estimate_cost(planned).tonnes == pytest.approx(8930, rel=0.002)


def test_chinchilla_is_near_its_own_optimum() -> None:
    """70B parameters and 1.4T tokens, about 20 tokens a parameter."""
    cost = estimate_cost(CostSettings(parameters=70e9, tokens=1.4e12))
    assert cost.optimal_tokens / cost.optimal_parameters == pytest.approx(20, abs=5)
    assert cost.loss - cost.optimal_loss < 1e-3
    assert cost.optimal_parameters * cost.optimal_tokens == pytest.approx(70e9 * 1.4e12)


def test_without_serving_the_serving_optimum_is_the_compute_optimum() -> None:
    best = CHINCHILLA.optimum(1e22)
    parameters, tokens = serving_optimum(best.loss, 0.0)
    assert parameters == pytest.approx(best.parameters, rel=1e-4)
    assert tokens == pytest.approx(best.tokens, rel=1e-4)


@pytest.mark.parametrize("served", [1e11, 1e13, 1e15])
def test_the_serving_optimum_is_that_of_a_grid(served: float) -> None:
    loss = CHINCHILLA.loss(70e9, 1.4e12)
    sizes = np.exp(np.linspace(math.log(5e9), math.log(5e11), 200_001))
    gap = loss - CHINCHILLA.e - CHINCHILLA.a / sizes**CHINCHILLA.alpha
    sizes, gap = sizes[gap > 0], gap[gap > 0]
    tokens = (CHINCHILLA.b / gap) ** (1 / CHINCHILLA.beta)
    best = sizes[np.argmin(6 * sizes * tokens + 2 * sizes * served)]
    assert serving_optimum(loss, served)[0] == pytest.approx(best, rel=1e-3)


def test_more_serving_favors_a_smaller_model_trained_for_longer() -> None:
    costs = [estimate_cost(CostSettings(parameters=70e9, tokens=1.4e12, inference_tokens=n)) for n in (0, 1e12, 1e14)]
    sizes = [cost.served_parameters for cost in costs]
    assert sizes == sorted(sizes, reverse=True)
    assert costs[2].served_tokens > 2 * costs[0].served_tokens
    assert costs[2].served_saving > 0.15


def test_money_and_time_follow_from_hours() -> None:
    cost = estimate_cost(CostSettings(parameters=1e9, tokens=2e10, device="a100", mfu=0.5, devices=8, price=1.5))
    assert cost.device_hours == pytest.approx(1.2e20 / 156e12 / 3600)
    assert cost.dollars == pytest.approx(1.5 * cost.device_hours)
    assert cost.days == pytest.approx(cost.device_hours / 192)


def test_the_estimate_is_printed_in_lines() -> None:
    planned = CostSettings(parameters=405e9, tokens=15.6e12, inference_tokens=1e13)
    text = format_cost(planned, estimate_cost(planned))
    assert "3.79e+25 FLOP" in text
    assert "inference" in text


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(UserError, match="device = abacus: unknown; use one of a100"):
        estimate_cost(CostSettings(parameters=1e9, tokens=1e9, device="abacus"))
    with pytest.raises(ValidationError, match="mfu"):
        CostSettings(parameters=1e9, tokens=1e9, mfu=1.2)
    with pytest.raises(ValueError, match=r"minimum of 1\.817"):
        serving_optimum(1.8, 1e12)
