"""ladder: which settings differ between rungs, and the prediction of the largest one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.studies.ladder import LadderSettings, count_matmul_parameters, describe_points, plan_rungs, predict_largest
from trainer.studies.scaling_laws import Law, Point, ScalingError, find_isoflop_minima
from trainer.tasks.pretrain_settings import PretrainSettings

RECIPE = PretrainSettings.model_validate(
    {
        "model": {"vocab_size": 512, "hidden_size": 128, "layers": 4, "heads": 8, "kv_heads": 2, "context_length": 64},
        "data": {"batch_size": 4, "sequence_length": 64},
        "schedule": {"learning_rate": 1e-2, "warmup_steps": 50},
    }
)
LAW = Law(e=1.7, a=120.0, b=300.0, alpha=0.4, beta=0.35)


def tokens(run_settings: PretrainSettings) -> int:
    return run_settings.loop.steps * run_settings.data.batch_size * run_settings.data.sequence_length


def test_a_rung_keeps_the_shape_and_the_rate_falls_with_the_width() -> None:
    found = plan_rungs(RECIPE, LadderSettings(hidden_sizes=(64, 128, 256)))
    assert [rung.name for rung in found] == ["hidden-64", "hidden-128", "hidden-256"]
    models = [rung.settings.model for rung in found]
    assert [(m.hidden_size, m.layers, m.heads, m.num_kv_heads, m.dim_per_head) for m in models] == [
        (64, 2, 4, 1, 16),
        (128, 4, 8, 2, 16),
        (256, 8, 16, 4, 16),
    ]
    assert [rung.settings.schedule.learning_rate for rung in found] == pytest.approx([2e-2, 1e-2, 5e-3])
    for rung in found:
        assert tokens(rung.settings) / count_matmul_parameters(rung.settings.model) == pytest.approx(20, rel=0.01)
        assert rung.settings.schedule.warmup_steps <= 50
        assert rung.settings.loop.validate_every == rung.settings.loop.steps
    flat = plan_rungs(RECIPE, LadderSettings(hidden_sizes=(64, 256), rate_exponent=0))
    assert {rung.settings.schedule.learning_rate for rung in flat} == {1e-2}
    with pytest.raises(ScalingError, match="hidden size 72 is not a multiple"):
        plan_rungs(RECIPE, LadderSettings(hidden_sizes=(64, 72)))


def test_sizes_at_several_amounts_of_data() -> None:
    found = plan_rungs(RECIPE, LadderSettings(hidden_sizes=(64, 128), data=(0.5, 1, 2)))
    ratios = [tokens(rung.settings) / count_matmul_parameters(rung.settings.model) for rung in found]
    assert sorted(round(ratio) for ratio in ratios) == [10, 10, 20, 20, 40, 40]
    costs = [tokens(rung.settings) * count_matmul_parameters(rung.settings.model) for rung in found]
    assert costs == sorted(costs)  # the cheapest first


def test_sizes_at_equal_compute_show_the_best_one() -> None:
    """Losses that follow a law, over the rungs of three budgets: the vertices are near the law's optima."""
    sizes = tuple(range(32, 257, 16))
    found = plan_rungs(RECIPE, LadderSettings(hidden_sizes=sizes, flop=(1e13, 1e14, 1e15)))
    points = []
    for rung in found:
        size, read = count_matmul_parameters(rung.settings.model), tokens(rung.settings)
        near = LAW.optimum(6 * size * read).parameters
        if near / 4 < size < near * 4:
            points.append(Point(size, read, LAW.loss(size, read), rung.name))
    minima = find_isoflop_minima(points)
    assert [point.flop for point in minima] == pytest.approx([1e13, 1e14, 1e15], rel=0.05)
    for point in minima:
        assert point.parameters == pytest.approx(LAW.optimum(point.flop).parameters, rel=0.3)


def test_the_costliest_run_is_predicted_from_the_others() -> None:
    grid = [(n, d) for n in np.geomspace(1e5, 1e7, 4) for d in np.geomspace(1e6, 1e9, 4)]
    noise = np.random.default_rng(0).normal(0, 0.002, len(grid))
    points = [Point(n, d, LAW.loss(n, d) * math.exp(e)) for (n, d), e in zip(grid, noise, strict=True)]
    largest, found = predict_largest(points)
    assert (largest.parameters, largest.tokens) == (1e7, 1e9)
    assert found.low < found.loss < found.high
    assert found.loss == pytest.approx(largest.loss, rel=0.03)
    off = f"{found.loss / largest.loss - 1:+.2%} off"
    assert off in describe_points(points)
    missed = describe_points([*points[:-1], Point(1e7, 1e9, 2 * largest.loss)])
    assert "-5" in missed.splitlines()[-1]
    assert "outside" in missed
