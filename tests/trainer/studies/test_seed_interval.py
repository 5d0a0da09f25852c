"""The interval of a mean over seeds is that of SciPy."""

from __future__ import annotations

import pytest
from scipy import stats

from trainer.studies.seed_interval import mean_interval


@pytest.mark.parametrize("values", [[0.1, 0.4], [1.0, 2.0, 4.5], [-3.0, 0.0, 0.5, 9.0, 9.5]])
def test_the_interval_is_ninety_percent_of_students_t(values: list[float]) -> None:
    found = mean_interval(values)
    expected = stats.t.interval(0.90, len(values) - 1, loc=stats.tmean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)
    assert found.mean == pytest.approx(stats.tmean(values), rel=1e-12)
