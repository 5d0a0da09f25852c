"""schedule: learning rates against values computed by hand."""

from __future__ import annotations

import math

import pytest

from trainer.training.schedule import ScheduleSettings, learning_rate


def rates(steps: int, **values: object) -> list[float]:
    settings = ScheduleSettings(**{"learning_rate": 1.0, "warmup_steps": 4, "min_ratio": 0.1, **values})
    return [learning_rate(step, steps, settings) for step in range(steps)]


def test_warmup_rises_in_equal_steps_to_the_peak():
    assert rates(20)[:4] == [0.25, 0.5, 0.75, 1.0]


def test_cosine_is_half_a_wave_to_the_final_rate():
    found = rates(24, shape="cosine")
    assert found[4] == 1.0
    assert found[14] == pytest.approx(0.1 + 0.9 * 0.5)  # half-way
    assert found[9] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert found[23] > 0.1
    assert learning_rate(24, 24, ScheduleSettings(learning_rate=1.0, warmup_steps=4, min_ratio=0.1)) == pytest.approx(
        0.1
    )


def test_wsd_is_flat_and_then_falls():
    found = rates(100, shape="wsd", decay_fraction=0.2, decay_shape="linear", min_ratio=0.0)
    assert found[4:81] == [1.0] * 77
    assert found[90] == pytest.approx(0.5)
    assert found[99] == pytest.approx(1 / 20)
    assert rates(100, shape="wsd", decay_shape="sqrt", min_ratio=0.0)[85] == pytest.approx(1 - math.sqrt(0.25))


def test_linear_and_constant():
    assert rates(10, shape="linear", warmup_steps=0, min_ratio=0.0) == pytest.approx(
        [1 - step / 10 for step in range(10)]
    )
    assert rates(10, shape="constant", warmup_steps=0, min_ratio=1.0) == [1.0] * 10


def test_settings_survive_being_written_and_read():
    for shape in ("cosine", "wsd", "linear", "constant"):
        settings = ScheduleSettings(shape=shape)
        assert ScheduleSettings.model_validate(settings.model_dump(mode="json")) == settings
