from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.special import huber

from trainer.studies.scaling_laws import (
    Law,
    Point,
    ScalingError,
    compare_families,
    drop_highest_losses,
    find_isoflop_minima,
    fit_law,
    fit_power_law,
    predict_by_compute,
    predict_loss,
    read_points,
)

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
TRUE = Law(e=1.69, a=406.4, b=410.7, alpha=0.34, beta=0.28)


def runs(law: Law, noise: float = 0.0, seed: int = 0, sizes: int = 6) -> list[Point]:
    generator = np.random.default_rng(seed)
    grid = [(n, d) for n in np.geomspace(5e7, 1e10, sizes) for d in np.geomspace(1e9, 3e11, 6)]
    return [Point(n, d, law.loss(n, d) * math.exp(noise * generator.standard_normal())) for n, d in grid]


@pytest.mark.parametrize("law", [TRUE, Law(1.8172, 482.0, 2085.0, 0.3478, 0.3658), Law(0.5, 20.0, 9000.0, 0.2, 0.45)])
def test_the_law_of_exact_runs_is_recovered(law: Law) -> None:
    found = fit_law(runs(law))
    for name in ("e", "alpha", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(law, name), abs=1e-6)
    for name in ("a", "b"):
        assert getattr(found, name) == pytest.approx(getattr(law, name), rel=1e-6)


def test_outliers_hardly_move_the_law() -> None:
    points = runs(TRUE)
    spoiled = [Point(p.parameters, p.tokens, p.loss * (1.5 if n in (3, 20) else 1)) for n, p in enumerate(points)]
    assert fit_law(spoiled).e == pytest.approx(TRUE.e, abs=0.01)


@pytest.mark.skipif(not (DATA / "trainer/chinchilla_points.csv").is_file(), reason="Chinchilla's points are not here")
def test_chinchilla_as_epoch_ai_fitted_it() -> None:
    points = drop_highest_losses(read_points(DATA / "trainer/chinchilla_points.csv"), 5)
    assert len(points) == 240
    law = fit_law(points)
    assert law.e == pytest.approx(1.817, abs=0.01)
    assert law.alpha == pytest.approx(0.348, abs=0.01)
    assert law.beta == pytest.approx(0.366, abs=0.01)

    def error(of: Law) -> float:
        return sum(float(huber(1e-3, math.log(of.loss(p.parameters, p.tokens) / p.loss))) for p in points)

    assert error(law) <= error(Law(1.8172, 482.01, 2085.43, 0.3478, 0.3658))
    slope = fit_power_law(
        [p.flop for p in find_isoflop_minima(points)], [p.parameters for p in find_isoflop_minima(points)]
    ).slope
    assert slope == pytest.approx(0.5, abs=0.05)  # approach 2 of Hoffmann et al.: 0.49


def test_the_optimum_is_that_of_a_grid() -> None:
    for flop in (1e19, 1e22, 1e25):
        sizes = np.geomspace(1e7, 1e13, 200_001)
        losses = TRUE.e + TRUE.a / sizes**TRUE.alpha + TRUE.b / (flop / 6 / sizes) ** TRUE.beta
        best = TRUE.optimum(flop)
        assert best.parameters == pytest.approx(sizes[losses.argmin()], rel=1e-3)
        assert best.loss == pytest.approx(losses.min(), abs=1e-9)
        assert best.flop == pytest.approx(flop)


def test_isoflop_minima_are_the_laws_optima() -> None:
    points = []
    for flop in (1e19, 1e20, 1e21):
        best = TRUE.optimum(flop).parameters
        sizes = [best * factor for factor in (0.4, 0.6, 0.9, 1.3, 2.0)]
        points += [Point(size, flop / 6 / size, TRUE.loss(size, flop / 6 / size)) for size in sizes]
    minima = find_isoflop_minima(points)
    assert [point.flop for point in minima] == pytest.approx([1e19, 1e20, 1e21])
    for point in minima:
        assert point.parameters == pytest.approx(TRUE.optimum(point.flop).parameters, rel=0.1)
        assert point.loss == pytest.approx(TRUE.optimum(point.flop).loss, abs=0.005)
    edge = [point for point in points if point.parameters > 1.2 * TRUE.optimum(point.flop).parameters]
    assert find_isoflop_minima(edge) == []


def test_a_larger_run_is_predicted_within_its_interval() -> None:
    """Nine in ten of the true losses lie in a 90% interval; here 6 repetitions, so at least 4."""
    inside = 0
    for seed in range(6):
        found = predict_loss(runs(TRUE, 0.004, seed, sizes=5), 5e10, 1e12)
        assert found.low < found.loss < found.high
        truth = TRUE.loss(5e10, 1e12)
        assert found.loss == pytest.approx(truth, rel=0.05)
        inside += found.low <= truth <= found.high
    assert inside >= 4


@pytest.mark.parametrize("bend", [0.0, 0.003, -0.01])
def test_a_deeper_run_is_predicted_with_and_without_a_bend(bend: float) -> None:
    """Nine in ten fall inside where the law is a parabola as well as where it is straight: three sizes, three seeds."""
    generator = np.random.default_rng(0)
    x, inside, widths = np.log([7e9, 7e10, 3.2e11, 1e12]), 0, []
    for _ in range(500):
        losses = np.exp(3 - 0.06 * x + bend * (x - x[0]) ** 2 + generator.normal(0, 0.003, (3, 4)))
        points = [Point(1.0, math.exp(x[n]) / 6, loss) for row in losses for n, loss in enumerate(row[:3])]
        found = predict_by_compute(points, math.exp(x[3]))
        inside += found.low <= losses[0, 3] <= found.high
        widths.append(math.log(found.high / found.low) / 2)
    assert inside >= 440  # 450 less two standard deviations and a half
    assert np.median(widths) < (0.02 if bend == 0 else 0.12)


def test_a_prediction_needs_three_computes_and_four_runs() -> None:
    points = [Point(n, 20 * n, 4 - n / 1e6) for n in (1e5, 2e5, 4e5)]
    with pytest.raises(ScalingError, match=r"3 runs of 3 computes: a prediction with an interval needs at least 4"):
        predict_by_compute(points, 1e15)
    with pytest.raises(ScalingError, match=r"4 runs of 2 computes"):
        predict_by_compute([*points[:2], *points[:2]], 1e15)


def test_a_power_law_is_a_line_in_logarithms() -> None:
    law = fit_power_law([1e3, 1e4, 1e5], [8.0, 4.0, 2.0])
    assert law.slope == pytest.approx(-math.log10(2))
    assert law.r2 == pytest.approx(1.0)
    assert law(1e6) == pytest.approx(1.0)
    assert fit_power_law([1, 2, 3, 4], [1, 5, 1, 5]).r2 < 0.5


def test_the_better_data_has_the_lower_intercept() -> None:
    def family(scale: float, slope: float, seed: int) -> list[Point]:
        noise = np.random.default_rng(seed).normal(0, 0.003, 6)
        sizes = np.geomspace(1e6, 1e8, 6)
        return [
            Point(n, 20 * n, scale * (120 * n * n / 1e16) ** slope * math.exp(e))
            for n, e in zip(sizes, noise, strict=True)
        ]

    same = compare_families(family(3.0, -0.05, 1), family(3.0, -0.05, 2))
    assert same.slope_difference[0] < 0 < same.slope_difference[1]
    assert same.intercept_difference[0] < 0 < same.intercept_difference[1]
    better = compare_families(family(3.0, -0.05, 1), family(2.9, -0.06, 2))
    assert better.slope_difference[1] < 0
    assert better.intercept_difference[1] < 0
    assert better.second.slope == pytest.approx(-0.06, abs=0.005)


def test_points_are_read_from_both_forms(tmp_path: Path) -> None:
    ours = tmp_path / "ours.csv"
    ours.write_text("name,parameters,tokens,loss\na,10,100,3.5\n")
    epoch = tmp_path / "epoch.csv"
    epoch.write_text("Model Size,Training FLOP,loss\n10,6000,3.5\n")
    assert read_points(ours) == [Point(10, 100, 3.5, "a")]
    assert read_points(epoch) == [Point(10, 100, 3.5)]


@pytest.mark.parametrize("row", ["10,,3", "10,x,3", "0,5,3", "10,5,nan", "10"])
def test_invalid_rows_are_refused_in_one_line(tmp_path: Path, row: str) -> None:
    (tmp_path / "p.csv").write_text(f"parameters,tokens,loss\n{row}\n")
    with pytest.raises(ScalingError, match=r"p.csv:2: "):
        read_points(tmp_path / "p.csv")


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ScalingError, match=r"5 runs: L\(N, D\) needs at least 6"):
        fit_law(runs(TRUE)[:5])
    with pytest.raises(ScalingError, match="at least two runs"):
        fit_power_law([1.0, 1.0], [2.0, 3.0])


def test_the_highest_losses_are_left_out() -> None:
    points = [Point(1, 1, loss) for loss in (3.0, 9.0, 2.0, 8.0)]
    assert [point.loss for point in drop_highest_losses(points, 2)] == [3.0, 2.0]
    assert drop_highest_losses(points, 0) == points
    assert all(a.tokens == b.tokens for a, b in pairwise(points))
