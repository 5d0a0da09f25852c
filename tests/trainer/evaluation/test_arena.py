"""Rankings recover known strengths, and equal logistic regression and Elo's rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer.errors import UserError
from trainer.evaluation.arena import SCALE, Battle, fit_bradley_terry, format_ranks, rank_models, read_battles

TRUE = np.array([0.8, 0.3, -0.2, -0.9])


def simulate(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 4, count)
    b = (a + generator.integers(1, 4, count)) % 4
    won = generator.random(count) < 1 / (1 + np.exp(-(TRUE[a] - TRUE[b])))
    return a, b, won.astype(float)


def test_expected_results_give_the_true_strengths() -> None:
    a, b = np.array([(i, j) for i in range(4) for j in range(4) if i != j]).T
    found = fit_bradley_terry(a, b, 1 / (1 + np.exp(-(TRUE[a] - TRUE[b]))), 4)
    np.testing.assert_allclose(found, TRUE - TRUE.mean(), atol=1e-5)


def test_it_is_logistic_regression() -> None:
    a, b, results = simulate(500)
    design = np.zeros((500, 4))
    design[np.arange(500), a], design[np.arange(500), b] = 1, -1
    peer = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, results).coef_[0]
    np.testing.assert_allclose(fit_bradley_terry(a, b, results, 4), peer - peer.mean(), atol=1e-3)


def test_models_are_ranked_with_intervals_that_hold_the_truth() -> None:
    a, b, results = simulate(3000)
    names = ["best", "good", "fair", "poor"]
    battles = [Battle(names[i], names[j], result) for i, j, result in zip(a, b, results, strict=True)]
    ranks = rank_models(battles)
    assert [rank.model for rank in ranks] == names
    for rank, true in zip(ranks, TRUE - TRUE.mean(), strict=True):
        assert rank.low < 1000 + SCALE * true < rank.high
        assert rank.low < rank.score < rank.high
    assert sum(rank.battles for rank in ranks) == 6000
    assert format_ranks(ranks).splitlines()[1].startswith("best")
    assert rank_models(battles[::-1], rounds=1)[0].score == pytest.approx(ranks[0].score)  # whatever their order


def test_elo_follows_its_rule_in_the_order_of_the_battles() -> None:
    ranks = {rank.model: rank for rank in rank_models([Battle("x", "y", 1.0), Battle("y", "x", 0.5)], rounds=5)}
    first = 1000 + 4 * 0.5
    chance = 1 / (1 + 10 ** ((first - (2000 - first)) / 400))
    assert ranks["y"].elo == pytest.approx(2000 - first + 4 * (0.5 - chance))
    assert ranks["x"].elo + ranks["y"].elo == pytest.approx(2000)


def test_a_model_that_always_wins_has_a_finite_score() -> None:
    ranks = rank_models([Battle("x", "y", 1.0)] * 20, rounds=5)
    assert np.isfinite([rank.score for rank in ranks]).all()
    assert ranks[0].model == "x"


@pytest.mark.parametrize("line", ["{", '{"a": "x"}', '{"a": "x", "b": "y", "winner": "c"}', "7"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "battles.jsonl"
    path.write_text(json.dumps({"a": "x", "b": "y", "winner": "tie"}) + "\n" + line + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_battles(path)


def test_a_battle_against_itself_and_no_battle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "battles.jsonl"
    path.write_text('{"a": "x", "b": "x", "winner": "a"}\n')
    with pytest.raises(UserError, match="cannot battle itself"):
        read_battles(path)
    with pytest.raises(UserError, match="no battle"):
        rank_models([])
