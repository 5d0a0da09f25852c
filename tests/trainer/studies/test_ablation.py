from __future__ import annotations

import pytest

from trainer.studies.ablation import Difference


def test_a_difference_has_an_interval() -> None:
    found = Difference("x", (1.0, 1.1, 0.9), (0.8, 0.9, 0.72))
    assert found.mean == pytest.approx(-0.19333, abs=1e-4)
    assert found.interval[0] < found.mean < found.interval[1] < 0
    assert Difference("x", (1.0,), (0.9,)).interval == (-float("inf"), float("inf"))
