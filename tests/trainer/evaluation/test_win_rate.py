"""Win rates: raw ones are means; at equal length the true order of models returns from a judge that loves length."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer.errors import UserError
from trainer.evaluation.win_rate import JudgedPair, fit_length, measure_win_rate, read_annotations

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
# Win rate and standard error in percent of 805 prompts: AlpacaEval's table, GPT-4 judges, against text-davinci-003.
PUBLISHED = {"alpaca-7b": (26.45962733, 1.53571147), "ppo": (41.24223602, 1.727181312)}


def judge(quality: float, verbosity: float, bias: float, seed: int) -> list[JudgedPair]:
    """A judge of known length bias compares a model of known quality, which writes at another length."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(200, 800, (4000, 2))
    lengths[:, 0] = lengths[:, 0] * verbosity
    difference = lengths[:, 0] - lengths[:, 1]
    logit = quality + bias * np.tanh(difference / difference.std())
    won = generator.random(4000) < 1 / (1 + np.exp(-logit))
    return [JudgedPair(float(win), int(a), int(b)) for win, (a, b) in zip(won, lengths, strict=True)]


def test_at_equal_length_the_better_model_wins_again() -> None:
    terse = measure_win_rate(judge(quality=0.4, verbosity=0.7, bias=2.0, seed=0))
    wordy = measure_win_rate(judge(quality=-0.2, verbosity=1.6, bias=2.0, seed=1))
    assert terse.rate < wordy.rate  # the judge is fooled
    assert terse.length_controlled > wordy.length_controlled
    assert terse.length_controlled == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.04)
    assert wordy.length_controlled == pytest.approx(1 / (1 + np.exp(0.2)), abs=0.06)
    assert terse.longer < 0.5 < wordy.longer


def test_without_bias_control_changes_little() -> None:
    fair = measure_win_rate(judge(quality=0.4, verbosity=1.0, bias=0.0, seed=2))
    assert fair.length_controlled == pytest.approx(fair.rate, abs=0.01)
    assert fair.standard_error == pytest.approx(np.sqrt(fair.rate * (1 - fair.rate) / 4000), rel=1e-3)


def test_the_regression_is_the_usual_one() -> None:
    comparisons = judge(quality=0.4, verbosity=1.2, bias=1.0, seed=3)
    results = np.array([item.result for item in comparisons])
    length = np.tanh(np.array([item.length - item.baseline_length for item in comparisons]) / 300)
    peer = LogisticRegression(C=1 / (1e-3 * len(length)), tol=1e-10, max_iter=1000).fit(length[:, None], results)
    np.testing.assert_allclose(fit_length(results, length), [peer.intercept_[0], peer.coef_[0, 0]], atol=1e-3)


def test_annotations_with_ties(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json.gz"
    items = [{"output_1": "abc", "output_2": "de", "preference": value} for value in (1, 2, 0, 1.5, None, 1.25)]
    path.write_bytes(gzip.compress(json.dumps(items).encode()))
    found = read_annotations(path)
    assert [item.result for item in found] == [0, 1, 0.5, 0.5, 0.5, 0.25]
    assert (found[0].length, found[0].baseline_length) == (2, 3)
    assert measure_win_rate(found).rate == pytest.approx(2.75 / 6)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[1]",
        *[
            b'[{"preference": %s, "output_1": "", "output_2": ""}]' % value
            for value in (b"3", b"NaN", b"Infinity", b"1" + b"0" * 400)
        ],
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.json: not a list of judged pairs"):
        read_annotations(path)
    with pytest.raises(UserError, match="no comparison"):
        measure_win_rate([])


@pytest.mark.parametrize("model", PUBLISHED)
def test_raw_win_rates_are_the_published_ones(model: str) -> None:
    path = DATA / "trainer" / "pref" / f"alpaca_eval_{model}_vs_davinci_gpt4.json.gz"
    if not path.exists():
        pytest.skip("the published judgments are not here (GRISTMILL_DATA)")
    found = measure_win_rate(read_annotations(path))
    assert (100 * found.rate, 100 * found.standard_error) == pytest.approx(PUBLISHED[model], abs=0.01)
    assert found.comparisons == 805
