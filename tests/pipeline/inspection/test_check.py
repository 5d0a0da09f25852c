"""What the checks of the audit share: lists of problems, and repeated keys."""

from __future__ import annotations

import pytest

from pipeline.inspection import check
from pipeline.inspection.check import Check, Problems, RepeatedKeys


def test_problems_show_the_first_three_and_count_the_rest() -> None:
    problems = Problems(f"p{n}" for n in range(5))
    assert problems.check("name", "fine") == Check("name", False, "p0; p1; p2; 2 more")
    assert Problems().check("name", "fine") == Check("name", True, "fine")


def test_keys_that_repeat_are_counted() -> None:
    keys = RepeatedKeys(5)
    for key in (7, 2**64 - 1, 7, 1, 7):
        keys.add(key)
    assert keys.count() == 2
    assert RepeatedKeys(0).count() == 0


def test_a_sample_of_many_keys_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_KEYS", 100)
    keys = RepeatedKeys(1000)
    for key in [*range(1000), *range(50)]:
        keys.add(key)
    assert len(keys._keys) <= 110
    assert keys.count() == 5
