"""dial: constants move to where losses are lowest."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.studies.dial import describe_dial, find_seed_scatter, find_vertex, fit_rules
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
    sizes = (1e5, 3e5, 1e6, 4e6)
    points = [Point(n, 20 * n, 9 * (120 * n**2) ** -0.05 * (1 + e)) for n in sizes[:3] for e in (-2e-3, 0, 2e-3)]
    exact = Point(sizes[3], 20 * sizes[3], 9 * (120 * sizes[3] ** 2) ** -0.05, "depth-4")
    found = describe_dial([*points, exact])
    assert "-0.00% off, inside" in found
    assert "seeds scatter by 0.20%" in found
    assert "outside" in describe_dial([*points, Point(4e6, 8e7, exact.loss * 1.1)])


def test_the_scatter_of_seeds_is_pooled_over_the_depths():
    losses = {1e5: (4.0, 4.1, 4.3), 1e6: (3.0, 3.1)}
    points = [Point(n, n, loss) for n, found in losses.items() for loss in found]
    squares = [(np.log(loss) - np.log(found).mean()) ** 2 for found in losses.values() for loss in found]
    assert find_seed_scatter(points) == pytest.approx((sum(squares) / 3) ** 0.5)
