"""anomalies: limits of a spike, and the action for each kind."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from trainer.training.anomalies import AnomalyAction, AnomalyKind, AnomalySettings, SpikeDetector


def detector(**values: object) -> SpikeDetector:
    return SpikeDetector(AnomalySettings(**{"window": 8, "deviations": 3.0, **values}))


def test_a_spike_is_judged_by_mean_and_deviation_of_the_window():
    watch = detector(spike="skip")
    assert watch.judge(100.0, 1.0) is None  # nothing to compare with yet
    watch = detector(spike="skip")
    for loss in (2.0, 4.0, 2.0, 4.0):
        assert watch.judge(loss, 1.0) is None
    assert watch.limit(watch.losses) == pytest.approx(3.0 + 3 * 1.0)
    assert watch.judge(5.9, 1.0) is None
    found = watch.judge(99.0, 1.0)
    assert (found.kind, found.action) == (AnomalyKind.SPIKE, AnomalyAction.SKIP)
    assert 99.0 not in watch.losses


def test_a_reported_spike_becomes_the_new_level():
    watch = detector(spike="report")
    for _ in range(8):
        watch.judge(2.0, 1.0)
    assert [watch.judge(9.0, 1.0) is not None for _ in range(6)] == [True, False, False, False, False, False]


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, math.inf)])
def test_non_finite_losses_are_skipped_until_patience_ends(loss, norm):
    watch = detector(patience=3)
    assert [watch.judge(loss, norm).action for _ in range(3)] == [
        AnomalyAction.SKIP,
        AnomalyAction.SKIP,
        AnomalyAction.STOP,
    ]
    watch = detector(patience=3)
    for _ in range(5):  # a good step between resets the count
        assert watch.judge(loss, norm).action is AnomalyAction.SKIP
        assert watch.judge(2.0, 1.0) is None


def test_updating_the_weights_with_nan_is_refused():
    with pytest.raises(ValidationError, match="not_finite"):
        AnomalySettings(not_finite="report")


def test_a_spike_of_the_gradient_norm_is_one_though_the_loss_is_not():
    watch = detector(gradient_spike="skip")
    for norm in (2.0, 4.0, 2.0, 4.0):
        assert watch.judge(1.0, norm) is None
    found = watch.judge(1.0, 50.0)
    assert (found.kind, found.action) == (AnomalyKind.GRADIENT_SPIKE, AnomalyAction.SKIP)
    assert (found.gradient_norm, found.limit) == (50.0, pytest.approx(3.0 + 3 * 1.0))
    assert list(watch.norms) == [2.0, 4.0, 2.0, 4.0]
    assert watch.judge(1.0, 4.0) is None
    watch = detector(spike="stop", gradient_spike="report")
    for _ in range(8):
        watch.judge(1.0, 2.0)
    assert [watch.judge(1.0, 9.0) is not None for _ in range(3)] == [True, False, False]  # the new level
    assert watch.judge(9.0, 99.0).kind is AnomalyKind.SPIKE  # the loss is judged first
