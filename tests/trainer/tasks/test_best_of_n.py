"""The curve of best-of-n is the mean over all subsets of the samples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainer.tasks.best_of_n import best_reward_curve


def test_the_curve_is_the_mean_over_all_subsets():
    rewards = np.random.default_rng(0).normal(size=(3, 6)).round(1)  # with ties
    for n, reward, kl in best_reward_curve(rewards.tolist()):
        expected = np.mean([[max(subset) for subset in itertools.combinations(row, n)] for row in rewards.tolist()])
        assert reward == pytest.approx(expected)
        assert kl == pytest.approx(math.log(n) - (n - 1) / n)
    assert [point.n for point in best_reward_curve(rewards.tolist())] == [1, 2, 4, 6]
