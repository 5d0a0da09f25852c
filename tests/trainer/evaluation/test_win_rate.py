"""Win rates: raw ones are means; at equal length the true order of models returns from judges of known bias."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from trainer.errors import UserError
from trainer.evaluation.win_rate import JudgedPair, fit_length, measure_win_rate, read_annotations

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
# Win rate and standard error in percent of 805 prompts: AlpacaEval's table, GPT-4 judges, against text-davinci-003.
PUBLISHED = {"alpaca-7b": (26.45962733, 1.53571147), "ppo": (41.24223602, 1.727181312)}


Bias = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
BIASES: dict[str, Bias] = {  # what a judge adds to the logit of a win for lengths of the two answers
    "saturating": lambda a, b: 2 * np.tanh((a - b) / (a - b).std()),
    "linear": lambda a, b: (a - b) / 200,
    "log-ratio": lambda a, b: 3 * np.log(a / b),
    "short": lambda a, b: -2 * np.tanh((a - b) / (a - b).std()),
    "short-log-ratio": lambda a, b: -2 * np.log(a / b),
    "longer-wins": lambda a, b: 1.5 * np.sign(a - b),
}


def judge(quality: float, verbosity: float, bias: Bias, seed: int) -> list[JudgedPair]:
    """A judge of known length bias compares a model of known quality, which writes at another length."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(200, 800, (4000, 2))
    lengths[:, 0] = lengths[:, 0] * verbosity
    logit = quality + bias(lengths[:, 0].astype(float), lengths[:, 1].astype(float))
    won = generator.random(4000) < 1 / (1 + np.exp(-logit))
    return [JudgedPair(float(win), int(a), int(b)) for win, (a, b) in zip(won, lengths, strict=True)]


@pytest.mark.parametrize(
    ("bias", "error"),
    [
        *((name, 0.04) for name in BIASES if name != "longer-wins"),  # three standard deviations over seeds
        ("longer-wins", 0.07),  # a step is no slope: the rates are 0.03 to 0.045 nearer to a half, in the true order
    ],
)
@pytest.mark.parametrize("favored", ["worse", "better"])
def test_at_equal_length_the_true_order_of_models_returns(bias: str, error: float, favored: str) -> None:
    """Three models: the worst writes the most of what the judge likes, or the best does."""
    likes_long = not bias.startswith("short")
    verbosities = [0.6, 1.0, 1.6] if (favored == "worse") == likes_long else [1.6, 1.0, 0.6]
    found = [
        measure_win_rate(judge(quality, verbosity, BIASES[bias], seed))
        for seed, (quality, verbosity) in enumerate(zip([0.6, 0.0, -0.6], verbosities, strict=True))
    ]
    best, middle, worst = (each.rate for each in found)
    assert (best < middle < worst) if favored == "worse" else (best > middle > worst)  # the judge is fooled, or not
    truth = 1 / (1 + np.exp(-np.array([0.6, 0.0, -0.6])))
    controlled = [each.length_controlled for each in found]
    assert controlled == pytest.approx(truth, abs=error)
    assert controlled == sorted(controlled, reverse=True)
    shares = [each.longer for each in found]
    assert shares == sorted(shares, reverse=verbosities[0] > 1)


def test_where_lengths_hardly_overlap_a_step_is_taken_for_quality() -> None:
    """A known limit: what a judge adds for the longer answer cannot be told from quality if one is always longer."""
    wordy = measure_win_rate(judge(-0.6, 3.0, BIASES["longer-wins"], seed=0))
    assert wordy.longer > 0.95
    assert wordy.length_controlled > 0.5  # the truth is 0.35


@pytest.mark.parametrize("longer", [1, 1000])
def test_where_all_lengths_differ_alike_the_rate_is_the_raw_one(longer: int) -> None:
    found = measure_win_rate([JudgedPair(float(number % 4 > 0), 200 + longer, 200) for number in range(400)])
    assert found.length_controlled == pytest.approx(0.75, abs=1e-6)


def test_without_bias_control_changes_little() -> None:
    fair = measure_win_rate(judge(quality=0.4, verbosity=1.0, bias=lambda a, _: 0 * a, seed=2))
    assert fair.length_controlled == pytest.approx(fair.rate, abs=0.01)
    assert fair.standard_error == pytest.approx(np.sqrt(fair.rate * (1 - fair.rate) / 4000), rel=1e-3)


def test_the_regression_is_the_usual_one() -> None:
    comparisons = judge(quality=0.4, verbosity=1.2, bias=BIASES["log-ratio"], seed=3)
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
