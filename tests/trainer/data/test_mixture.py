from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.corpora import build_corpus
from trainer.data.corpus import Corpus, join_corpora
from trainer.data.mixture import Mixture
from trainer.errors import UserError


def corpus(count: int, weights: list[float] | None = None, name: str = "web", length: int = 9) -> Corpus:
    return build_corpus([[1] * length] * count, weights, name=name)


def test_a_document_is_read_in_proportion_to_its_weight() -> None:
    weights = [0.0, 0.25, 0.5, 1.0, 1.5, 3.0] * 400
    mixture = Mixture(corpus(len(weights), weights))
    seen = mixture.count_reads(8).reshape(400, 6)
    assert seen.mean(axis=0) == pytest.approx([0, 2, 4, 8, 12, 24], abs=0.05)
    assert (np.abs(seen - 8 * np.array(weights[:6])) < 1).all()  # never a whole repetition off the expected count


def test_one_pass_expects_the_weight_of_a_document() -> None:
    """Over documents of one weight the mean of the first pass is the weight, within four standard errors."""
    for weight in (0.1, 0.9, 2.3):
        seen = Mixture(corpus(4000, [weight] * 4000)).count_reads(1)
        share = weight % 1
        assert abs(seen.mean() - weight) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_passes_add_up_to_the_count_of_reads() -> None:
    mixture = Mixture(corpus(50, [0.3, 2.5] * 25))
    read = np.concatenate([mixture.read_pass(number).order for number in range(7)])
    assert np.bincount(read, minlength=50).tolist() == mixture.count_reads(7).tolist()


def test_two_passes_have_different_orders_and_each_is_a_permutation() -> None:
    mixture = Mixture(corpus(100), seed=3)
    first, second = mixture.read_pass(0).order, mixture.read_pass(1).order
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"news": 0.5}, "sources that do not exist: news"),
        ({"a": 0.7, "b": 0.7}, "add up to 1.4"),
        ({"a": 0.2, "b": 0.2}, "add up to 0.4"),
    ],
)
def test_impossible_shares_are_refused(shares: dict[str, float], message: str) -> None:
    both = join_corpora([corpus(3, name="a"), corpus(3, name="b")])
    with pytest.raises(UserError, match=message):
        Mixture(both, shares)


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        Mixture(corpus(3, [0.0, 0.0, 0.0]))
    both = join_corpora([corpus(3, [0.0] * 3, name="a"), corpus(3, name="b")])
    with pytest.raises(UserError, match="source a has no token"):
        Mixture(both, {"a": 0.5, "b": 0.5})


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0, 1e-300, 0.02, 0.3, 1, 1.7, 5]), min_size=1, max_size=12).filter(
        lambda w: max(w) > 0.01
    ),
    seed=st.integers(0, 2**31),
    cap=st.one_of(st.none(), st.integers(1, 5)),
    token=st.integers(0, 3000),
)
def test_a_token_is_found_in_the_pass_that_a_walk_finds(
    weights: list[float], seed: int, cap: int | None, token: int
) -> None:
    mixture = Mixture(corpus(len(weights), weights), seed=seed, max_repetitions=cap)
    if token >= mixture.available:
        with pytest.raises(UserError, match="the data ends"):
            mixture.find_pass(token)
        return
    number, left = 0, token
    while left >= mixture.read_pass(number).tokens:
        left -= mixture.read_pass(number).tokens
        number += 1
    assert mixture.find_pass(token) == number
    assert mixture.read_pass(number).first == token - left


def test_a_negligible_weight_counts_as_zero() -> None:
    mixture = Mixture(corpus(2, [1.0, 1e-300]), max_repetitions=3)
    assert mixture.available == 30
    assert mixture.count_reads(10**6).tolist() == [3, 0]
