"""The curve of best-of-n is the mean over all subsets of the samples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainer.tasks.best_of_n import best_reward_curve


def test_the_curve_is_the_mean_over_all_subsets():
    rewards = np.random.default_rng(0).normal(size=(3, 6)).round(1)  # with ties
    for n, reward, _, kl in best_reward_curve(rewards.tolist()):
        expected = np.mean([[max(subset) for subset in itertools.combinations(row, n)] for row in rewards.tolist()])
        assert reward == pytest.approx(expected)
        assert kl == pytest.approx(math.log(n) - (n - 1) / n)
    assert [point.n for point in best_reward_curve(rewards.tolist())] == [1, 2, 4, 6]


def test_the_gold_reward_is_that_of_the_chosen_answers():
    generator = np.random.default_rng(1)
    rewards, gold = (generator.normal(size=(3, 5)).tolist() for _ in range(2))
    for point in best_reward_curve(rewards, gold):
        expected = np.mean(
            [
                [b[max(subset, key=a.__getitem__)] for subset in itertools.combinations(range(5), point.n)]
                for a, b in zip(rewards, gold, strict=True)
            ]
        )
        assert point.verified == pytest.approx(expected)
