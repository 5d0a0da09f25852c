"""The length baseline and the measures of scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from trainer.chat.chat_template import Encoded, EncodedPair
from trainer.tasks.reward import fit_length_baseline, measure_scores


def pair(chosen: int, rejected: int, *, tie: bool = False) -> EncodedPair:
    sides = (Encoded(np.zeros(n + 2, np.int32), np.arange(n + 2) >= 2) for n in (chosen, rejected))
    return EncodedPair(*sides, margin=0.0, tie=tie)


def test_the_length_baseline_is_the_logistic_regression():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 60, (400, 2))
    preferred = generator.random(400) < 1 / (1 + np.exp(-0.05 * (lengths[:, 0] - lengths[:, 1])))
    ordered = np.where(preferred[:, None], lengths, lengths[:, ::-1])
    found = fit_length_baseline([pair(*row) for row in ordered.tolist()])
    difference = (ordered[:, 0] - ordered[:, 1])[:, None]
    both, labels = np.concatenate([difference, -difference]), np.repeat([1, 0], 400)
    expected = LogisticRegression(C=1e9, fit_intercept=False).fit(both, labels).coef_[0, 0]
    assert found.slope == pytest.approx(expected, rel=0.02)
    ties = [pair(99, 1, tie=True)] * 50  # prefer nothing
    assert fit_length_baseline([*(pair(*row) for row in ordered.tolist()), *ties]) == found
    assert fit_length_baseline(ties).slope == 0
    assert fit_length_baseline([pair(9, 3), pair(8, 2)]).slope > 0  # decided by length: a finite slope


def test_accuracy_and_calibration():
    pairs = [pair(1, 1)] * 3 + [pair(1, 1, tie=True)]
    found = measure_scores(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [9.0, 0.0]]), pairs)
    assert found.accuracy == pytest.approx(0.5)
    ties = measure_scores(torch.tensor([[1.0, 0.0], [3.0, 3.0]]), [pair(1, 1, tie=True)] * 2)
    cost = [np.log1p(np.exp(-x)) / 2 + np.log1p(np.exp(x)) / 2 for x in (1.0, 0.0)]  # of either order, half
    assert (ties.loss, *ties[1:]) == (pytest.approx(np.mean(cost)), None, None)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20_000, 2, generator=generator)
    right = torch.rand(20_000, generator=generator) < torch.sigmoid(scores[:, 0] - scores[:, 1])
    ordered = torch.where(right[:, None], scores, scores.flip(1))
    calibrated = measure_scores(ordered, [pair(1, 1)] * 20_000)
    assert calibrated.calibration_error < 0.015
    assert measure_scores(3 * ordered, [pair(1, 1)] * 20_000).calibration_error > 0.1
