"""GRPO makes a tiny model right on sums that neither stage has seen: `tests.benchmarks.arithmetic`, a minute."""

from __future__ import annotations

import pytest

from tests.benchmarks.arithmetic import learn, prepare


@pytest.mark.slow
def test_grpo_raises_the_exact_match_on_held_out_sums(tmp_path):
    prepare(tmp_path)
    found = learn(tmp_path, steps=800)
    assert found.before < 0.2
    assert found.after > 0.8  # .84, .87 and .85 with three seeds
