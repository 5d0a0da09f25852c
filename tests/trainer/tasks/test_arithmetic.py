"""GRPO makes a tiny model right on sums that neither stage has seen: `tests.benchmarks.arithmetic`, cut short."""

from __future__ import annotations

from tests.benchmarks.arithmetic import learn, prepare


def test_grpo_raises_the_exact_match_on_held_out_sums(tmp_path):
    prepare(tmp_path)
    found = learn(tmp_path, steps=160)
    assert found.before < 0.2
    assert found.after > found.before + 0.1
