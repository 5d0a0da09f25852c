"""AUC, calibration, F1 and the logistic layer against scikit-learn and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from classifiers.estimators.logistic import fit_logistic, fit_platt, fit_temperature, sigmoid, with_temperature
from classifiers.estimators.metrics import (
    auc,
    calibration_error,
    confusion,
    f1_by_label,
    length_bins,
    macro_f1,
    reliability,
)
from classifiers.training.train_domain import threshold_for


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60))
def test_auc_agrees_with_scikit_learn_also_for_ties(rows: list[tuple[bool, int]]) -> None:
    truth, scores = [t for t, _ in rows], [s for _, s in rows]
    if len(set(truth)) < 2:
        assert np.isnan(auc(truth, scores))
    else:
        assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_macro_f1_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(3)
    labels = ["a", "b", "c", "d"]
    truth, answers = [list(random.choice(labels[:3], 200)) for _ in range(2)]
    table = confusion(truth, answers, labels)
    assert macro_f1(table) == pytest.approx(f1_score(truth, answers, average="macro"))
    assert np.isnan(f1_by_label(table)[3])


def test_reliability_and_error_of_a_known_case() -> None:
    truth, scores = [1, 0, 1, 1], [0.05, 0.05, 0.95, 1.0]
    assert reliability(truth, scores) == [
        {"from": 0.0, "rows": 2, "score": 0.05, "truth": 0.5},
        {"from": 0.9, "rows": 2, "score": 0.975, "truth": 1.0},
    ]
    assert calibration_error(truth, scores) == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)


def test_length_bins_cover_every_length_once() -> None:
    masks = [mask for _, mask in length_bins([0, 9, 10, 99, 100, 10**6], (10, 100))]
    assert np.sum(masks, axis=0).tolist() == [1] * 6


def test_the_logistic_layer_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(1)
    table = random.normal(size=(400, 3)) * [1, 5, 0.2] + [0, 2, 1]
    truth = (random.random(400) < sigmoid(table[:, 0] - 0.3 * table[:, 1])).astype(float)
    ours = fit_logistic(table, truth)
    scaled = (table - table.mean(axis=0)) / table.std(axis=0)
    theirs = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=1000).fit(scaled, truth)
    assert ours.weights == pytest.approx(theirs.coef_[0], abs=2e-3)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=2e-3)
    assert [ours.log_odds_of_row(row) for row in table.tolist()] == ours.log_odds(table).tolist()
    assert ours.log_odds(table) == pytest.approx(theirs.decision_function(scaled), abs=1e-2)


def test_a_weight_of_the_forbidden_sign_is_left_out() -> None:
    random = np.random.default_rng(2)
    table = random.normal(size=(300, 2))
    truth = (table[:, 0] - table[:, 1] > 0).astype(float)
    fitted = fit_logistic(table, truth, signs=[1, 1])
    assert fitted.weights[0] > 0
    assert fitted.weights[1] == 0


def test_platt_undoes_a_known_distortion() -> None:
    random = np.random.default_rng(4)
    true_log_odds = random.normal(size=20_000) * 2
    truth = (random.random(20_000) < sigmoid(true_log_odds)).astype(float)
    slope, offset = fit_platt(3 * true_log_odds + 1, truth)
    assert slope == pytest.approx(1 / 3, rel=0.05)
    assert offset == pytest.approx(-1 / 3, abs=0.05)


def test_temperature_undoes_overconfidence() -> None:
    random = np.random.default_rng(5)
    honest = random.dirichlet([1, 1, 1], size=5_000)
    truth = np.array([random.choice(3, p=row) for row in honest])
    sharpened = with_temperature(honest, 2.0)
    assert fit_temperature(sharpened, truth) == pytest.approx(0.5, rel=0.08)
    assert with_temperature(sharpened, 0.5) == pytest.approx(honest, abs=1e-3)


def test_the_threshold_gives_answers_for_a_share_of_the_words() -> None:
    best = np.array([0.6, 0.9, 0.8, 0.7])
    assert threshold_for(best, [1, 1, 1, 1], 0.6) == 0.7
    assert threshold_for(best, [1, 8, 1, 1], 0.6) == 0.9
    assert threshold_for(best, [8, 1, 1, 1], 0.6) == 0.6
    assert threshold_for(best, [1, 1, 1, 1], 1.0) == 0.6
