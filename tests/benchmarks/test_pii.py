"""Phone numbers on labeled sentences, where they are there."""

from __future__ import annotations

import pytest

from tests.benchmarks import DATA
from tests.benchmarks.pii import SENTENCES, measure_presidio


@pytest.mark.skipif(not (DATA / SENTENCES).exists(), reason="the labeled sentences are not here (GRISTMILL_DATA)")
def test_phone_numbers_are_found_and_little_else_is_taken_for_one():
    found = measure_presidio()
    assert found.recall("PHONE") >= 0.85
    assert found.precision("PHONE") >= 0.97
