"""Verdicts: what is measured, in which direction, and what it says of runs that went wrong."""

from __future__ import annotations

import pytest

from trainer.reports.verdict import derive_verdict


def row(step: int, loss: float | None, **more: object) -> dict:
    return {"step": step, "loss": loss, **more}


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([], "no step was taken"),
        ([row(1, 5.0)], "training loss 5"),
        ([row(1, 5.0), row(2, 4.0)], "better: training loss 5 -> 4"),
        ([row(1, 4.0), row(2, 5.0)], "worse: training loss 4 -> 5"),
        ([row(1, 4.0), row(2, 4.01)], "unchanged: training loss 4 -> 4.01"),
        ([row(1, 4.0), row(2, None)], "diverged: the last loss is not a finite number"),
        ([row(1, 5.0, before={"loss": 5.0}), row(2, 4.0, validation={"loss": 6.0})], "worse: held-out loss 5 -> 6"),
        (
            [row(1, 1.0, validation={"loss": 3.0}), row(2, 1.0, validation={"loss": 3.5, "bits_per_byte": 1.25})],
            "worse: held-out loss 3 -> 3.5; 1.250 bits per byte; best at step 1: 3",
        ),
        (
            [row(1, 1.0, before={"loss": 0.9, "reward": 0.1}), row(2, 2.0, validation={"loss": 0.5, "reward": 0.5})],
            "better: held-out reward 0.1 -> 0.5",
        ),
        (
            [row(1, 0.7, validation={"loss": 0.7, "accuracy": 0.6, "length_accuracy": 0.65})],
            "held-out accuracy 0.6; lengths alone have 0.65",
        ),
        ([row(1, 0.1, reward=0.2), row(2, 0.3, reward=0.1)], "worse: reward 0.2 -> 0.1"),
        ([row(1, 5.0, anomaly={}), row(2, 4.0)], "better: training loss 5 -> 4; 1 anomaly"),
    ],
)
def test_a_verdict_is_what_the_numbers_say(rows, verdict):
    assert derive_verdict(rows) == verdict
