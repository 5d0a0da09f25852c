"""The reward model beside the length of the answers, on real pairs where they are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import DATA
from tests.benchmarks.reward import FILE, PARTS, Recipe, Right, find_gain, measure_part
from trainer.chat.read_preferences import read_preferences


def test_the_gain_is_the_mean_over_pairs_with_its_standard_error():
    length = np.zeros(2)
    seeds = [Right(np.array([1.0, 0.0]), length), Right(np.array([1.0, 1.0]), length)]
    found = find_gain([seeds, [Right(np.array([0.0, 1.0]), length)]])
    points = 100 * np.array([1.0, 0.5, 0.0, 1.0])
    error = points.std(ddof=1) / 2
    assert found == pytest.approx((points.mean(), points.mean() - 1.96 * error, points.mean() + 1.96 * error))


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / FILE).exists(), reason="the pairs of HH-RLHF are not here (GRISTMILL_DATA)")
def test_the_reward_model_beats_the_length_by_two_points_on_held_out_real_pairs(tmp_path: Path):
    """By the mean of four seeds: of one seed machines with other rounding got 1.8 and 3.3."""
    pairs, recipe = read_preferences([DATA / FILE]), Recipe(epochs=2, rate=1e-3)
    found = []
    for part in range(PARTS):
        folder = tmp_path / str(part)
        folder.mkdir()
        found.append(measure_part(folder, pairs, part, 4, recipe))
    assert sum(len(rights[0].model) for rights in found) == len(pairs)  # each is held out once
    assert find_gain(found).mean >= 2
