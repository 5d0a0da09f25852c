"""dial: constants move to where losses are lowest."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.studies.dial import describe_dial, find_vertex, fit_rules
from trainer.studies.scaling_laws import Point
from trainer.tasks.depth import DepthSettings


def test_the_vertex_of_a_parabola_is_found():
    multiples = (0.5, 1.0, 2.0)
    losses = [3 + 0.1 * np.log(multiple / 1.3) ** 2 for multiple in multiples]
    assert find_vertex(multiples, losses) == pytest.approx(1.3)
    assert find_vertex(multiples, [3.0, 2.0, 1.5]) == 2.0  # beyond the range: its end
    assert find_vertex(multiples, [1.0, 2.0, 2.5]) == 0.5


def test_constants_move_by_the_mean_of_the_vertices():
    rules = DepthSettings(rate=0.2, batch=0.5)
    best = {("rate", 2): 1.2, ("rate", 3): 1.5, ("batch", 2): 0.8, ("batch", 3): 0.8}
    losses = {
        (name, depth, multiple): 2 + np.log(multiple / vertex) ** 2
        for (name, depth), vertex in best.items()
        for multiple in (0.5, 1.0, 2.0)
    }
    fitted = fit_rules(rules, losses)
    assert fitted.rate == pytest.approx(0.2 * (1.2 * 1.5) ** 0.5)
    assert fitted.batch == pytest.approx(0.5 * 0.8)
    assert fit_rules(rules, {}) == rules


def test_a_power_law_predicts_the_deepest():
    points = [Point(n, 20 * n, 9 * (120 * n**2) ** -0.05, f"depth-{k}") for k, n in enumerate((1e5, 3e5, 1e6, 4e6), 1)]
    assert "+0.00% off, inside" in describe_dial(points)
    assert "outside" in describe_dial([*points[:-1], Point(4e6, 8e7, points[-1].loss * 1.1)])
