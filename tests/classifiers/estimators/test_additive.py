"""The additive layer finds what no weight can say, agrees with scikit-learn, and is the same after a journey."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import KBinsDiscretizer

from classifiers.estimators.additive import STEP_RIDGE, STEPS, Additive, fit_additive
from classifiers.estimators.logistic import fit_logistic, sigmoid
from classifiers.estimators.metrics import auc


def test_a_value_that_is_best_in_the_middle_is_found() -> None:
    random = np.random.default_rng(1)
    table = random.normal(size=(4_000, 2))
    truth = (random.random(4_000) < sigmoid(2 - 3 * np.abs(table[:, 0]))).astype(float)
    layer, linear = fit_additive(table, truth, 3.0, (0, 0)), fit_logistic(table, truth, 3.0, balanced=False)
    assert auc(truth, linear.log_odds(table)) < 0.55
    assert auc(truth, layer.log_odds(table)) > 0.8
    assert layer.log_odds(table) == pytest.approx([layer.log_odds_of_row(row) for row in table.tolist()])
    assert sigmoid(layer.log_odds(table)).mean() == pytest.approx(truth.mean(), abs=0.002)


def test_it_agrees_with_scikit_learn_on_the_same_design() -> None:
    """scikit-learn's bins, one column for each step, and penalties as scales of the columns."""
    random = np.random.default_rng(2)
    table = random.normal(size=(600, 2)) * [1, 4]
    truth = (random.random(600) < sigmoid(table[:, 0] + 0.5 * (table[:, 1] > 2))).astype(float)
    ours = fit_additive(table, truth, 3.0, (0, 0))
    bins = KBinsDiscretizer(STEPS, encode="ordinal", strategy="quantile", quantile_method="linear").fit(table)
    above = [bins.transform(table)[:, [column]] > np.arange(STEPS - 1) for column in range(2)]
    design = np.hstack([table, *above]).astype(float)
    design = (design - design.mean(axis=0)) / design.std(axis=0)
    design /= np.sqrt([3.0] * 2 + [STEP_RIDGE] * 2 * (STEPS - 1))
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=5_000).fit(design, truth)
    assert ours.log_odds(table) == pytest.approx(theirs.decision_function(design), abs=0.01)


def test_a_column_of_one_value_has_no_step_and_bins_include_their_upper_cut() -> None:
    table = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]] * 20)
    layer = fit_additive(table, (table[:, 0] > 1).astype(float), 1.0, (0, 0))
    assert [len(values) - len(cuts) for cuts, values in zip(layer.cuts, layer.values, strict=True)] == [1, 1]
    assert set(layer.cuts[1]) == {7.0}
    steps = Additive(layer.linear, ((1.0,), ()), ((0.0, 5.0), (0.25,)))
    low, high = (
        steps.log_odds_of_row((value, 7.0)) - layer.linear.log_odds_of_row((value, 7.0)) for value in (1.0, 1.1)
    )
    assert (low, high) == (0.25, 5.25)


def test_signs_bind_the_weights_and_json_keeps_the_layer() -> None:
    random = np.random.default_rng(3)
    table = random.normal(size=(300, 2))
    layer = fit_additive(table, (table[:, 0] - table[:, 1] > 0).astype(float), 3.0, (1, 1))
    assert layer.linear.weights[0] > 0
    assert layer.linear.weights[1] == 0
    assert Additive.of_json(json.loads(json.dumps(layer.to_json()))) == layer
