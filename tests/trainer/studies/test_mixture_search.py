"""mixture_search: the regression and its minimum against a solver, and shares that arrive in the tokens read."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from scipy.optimize import minimize

from pipeline.publishing.weights import WeightSettings, target_shares
from tests.trainer.corpora import build_corpus
from trainer.data.mixture import Mixture
from trainer.errors import UserError
from trainer.studies.ablation import Difference
from trainer.studies.mixture_search import (
    OTHERS,
    Groups,
    MixtureReport,
    MixtureSearchSettings,
    Regression,
    fit_bounds,
    fit_regression,
    format_search,
    format_shares,
    group_domains,
    mix,
    sample_mixtures,
)

NATURAL = np.array([0.5, 0.3, 0.15, 0.05])
SETTINGS = MixtureSearchSettings(proxies=40)


def corpus_of(tokens: list[int]):
    """Two documents of each domain, of this many tokens together, weights 3 and 1."""
    rows = [[1] * (count // 2 - 1) for count in tokens for _ in range(2)]
    made = build_corpus(rows, weights=[3.0, 1.0] * len(tokens))
    domain = np.repeat(np.arange(len(tokens), dtype=np.int32), 2)
    return made.__class__(**{**vars(made), "domain": domain, "domains": tuple("abcdef"[: len(tokens)])})


def test_mixtures_are_shares_inside_the_bounds():
    found = sample_mixtures(NATURAL, SETTINGS)
    assert found.shape == (40, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0.1 * NATURAL - 1e-9).all()
    assert (found <= 4 * NATURAL + 1e-9).all()
    assert found.std(axis=0).min() > 0.01
    np.testing.assert_array_equal(found, sample_mixtures(NATURAL, SETTINGS))


@pytest.mark.parametrize("gains", [[0.2, 0.1, 0.1, 0.1], [0.0, 0.1, 0.0, 0.3], [1.0, 0.0, 0.0, 0.0]])
def test_the_proposal_is_the_minimum_inside_the_bounds(gains):
    """Against a general solver of the same problem."""
    weights = np.array(gains)
    found = fit_bounds(weights, NATURAL, SETTINGS)
    solved = minimize(
        lambda shares: -weights @ np.log(shares), NATURAL, method="SLSQP", options={"ftol": 1e-12, "maxiter": 500},
        bounds=list(zip(0.1 * NATURAL, 4 * NATURAL, strict=True)),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
    )  # fmt: skip
    assert found.sum() == pytest.approx(1)
    assert -weights @ np.log(found) == pytest.approx(solved.fun, abs=1e-6)


def test_without_gains_the_data_keeps_its_shares():
    np.testing.assert_array_equal(fit_bounds(np.zeros(4), NATURAL, SETTINGS), NATURAL)


def test_the_regression_finds_the_gains():
    shares = sample_mixtures(NATURAL, SETTINGS)
    gains = np.array([0.3, 0.0, 0.1, 0.02])
    losses = 2.0 - np.log(shares) @ gains
    exact = fit_regression(shares, losses)
    np.testing.assert_allclose(exact.gains, gains, atol=1e-9)
    assert (exact.intercept, exact.rank_correlation) == pytest.approx((2.0, 1.0))
    np.testing.assert_allclose(exact.predict(shares), losses)
    noise = np.random.default_rng(0).normal(size=len(losses))
    assert abs(fit_regression(shares, noise).rank_correlation) < 0.5  # nothing to find
    assert fit_regression(shares, np.ones(len(shares))).rank_correlation == 0


def test_small_domains_are_one_group():
    groups = group_domains(corpus_of([100, 40, 200, 60]), 2)
    assert groups.names == ("c", "a", OTHERS)
    np.testing.assert_allclose(groups.natural, [0.5, 0.25, 0.25])
    assert groups.members.tolist() == [1, 1, 2, 2, 0, 0, 2, 2]
    assert group_domains(corpus_of([100, 40]), 6).names == ("a", "b")
    with pytest.raises(UserError, match="one domain"):
        group_domains(corpus_of([100]), 3)


def test_a_mixture_has_its_shares_in_the_tokens_read():
    corpus = corpus_of([100, 40, 200, 60])
    groups = group_domains(corpus, 2)
    shares = np.array([0.2, 0.7, 0.1])
    mixed = mix(corpus, groups, shares)
    read = Mixture(mixed).count_reads(1000) * mixed.length
    np.testing.assert_allclose(np.bincount(groups.members, read) / read.sum(), shares, atol=0.002)
    assert mixed.fingerprint not in (corpus.fingerprint, mix(corpus, groups, shares[::-1]).fingerprint)


def test_the_file_of_shares_means_the_proposal_to_the_pipeline():
    domains = {"science_and_math": 0.5, "games": 0.3, "travel_and_tourism": 0.15, "adult": 0.05}
    groups = Groups(
        ("science_and_math", "games", OTHERS), domains, np.zeros(1, int), np.array([0.5, 0.3, 0.2]), NATURAL
    )
    report = MixtureReport(groups, Regression(1.0, NATURAL, 0.0), np.array([0.2, 0.6, 0.2]), {})
    shares = tomllib.loads(format_shares(report))["publish"]["weights"]["shares"]
    words = {name: round(1000 * share) for name, share in domains.items()}
    found = target_shares(words, WeightSettings(shares=shares))
    assert found == pytest.approx({"science_and_math": 0.2, "games": 0.6, "travel_and_tourism": 0.15, "adult": 0.05})


def test_the_report_says_whether_the_proposal_is_better():
    """Three seeds each: below, above, and within what seeds alone make of it."""
    groups = Groups(("a", "b"), {"a": 0.5, "b": 0.5}, np.zeros(1, int), np.array([0.5, 0.5]), np.array([0.4, 0.6]))
    differences = {
        "natural": [Difference("novels", (3.0, 3.1, 3.2), (2.9, 3.0, 3.1)), Difference("news", (3.0,) * 3, (3.1,) * 3)],
        "weights": [Difference("novels", (3.0, 3.1, 3.2), (2.9, 3.2, 3.15))],
    }
    report = MixtureReport(groups, Regression(1.0, np.ones(2), 0.0), np.array([0.3, 0.7]), differences)
    *_, better, worse, unknown = format_search(report).splitlines()
    assert better.startswith("proposal minus natural, novels: -0.1000")
    assert better.endswith("the proposal is better")
    assert worse.endswith("it is worse")
    assert unknown.startswith("proposal minus weights, novels: -0.0167")
    assert unknown.endswith("no difference shown")
