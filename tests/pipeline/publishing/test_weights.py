"""Document weights: shares, bounds and length of a pass, computed from sums over documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.publishing.weights import (
    EDUCATION_STEPS,
    QUALITY_STEPS,
    WeightSettings,
    cell_of,
    compare_shares,
    target_shares,
    weight_table,
)

cells = st.tuples(
    st.sampled_from(["a", "b", "c", "unknown"]), st.integers(0, QUALITY_STEPS), st.integers(0, EDUCATION_STEPS)
)
word_counts = st.dictionaries(cells, st.integers(1, 10_000), min_size=1, max_size=12)
loose = WeightSettings(shares={"a": 3, "b": 1, "c": 2}, max_repetition=1e9, min_repetition=0)


def shares_of(words, weights):
    total = sum(weights[cell] * n for cell, n in words.items())
    domains = {domain for domain, *_ in words}
    return {d: sum(weights[c] * n for c, n in words.items() if c[0] == d) / total for d in domains}


@given(word_counts)
def test_without_caps_the_weighted_shares_are_the_targets(words):
    by_domain = {d: sum(n for (name, *_), n in words.items() if name == d) for d, *_ in words}
    target = target_shares(by_domain, loose)
    assert sum(target.values()) == pytest.approx(1)
    for domain, share in shares_of(words, weight_table(words, loose)).items():
        assert share == pytest.approx(target[domain], rel=1e-3, abs=1e-4)


@given(word_counts)
def test_a_pass_is_as_long_as_the_dataset(words):
    table = weight_table(words, loose)
    assert sum(table[c] * n for c, n in words.items()) == pytest.approx(sum(words.values()), rel=1e-3)


@given(word_counts)
def test_weights_stay_within_cap_and_floor_and_rise_with_quality(words):
    settings = WeightSettings(shares={"a": 30, "b": 1}, max_repetition=4, min_repetition=0.1)
    table = weight_table(words, settings)
    assert all(0.1 <= weight <= 4 for weight in table.values())
    for domain in {d for d, *_ in words}:
        by_quality = {cell[1]: table[cell] for cell in sorted(table) if cell[0] == domain}
        assert list(by_quality.values()) == sorted(by_quality.values())


def test_words_beyond_the_cap_of_a_domain_go_to_the_others():
    words = {("rare", 50, 9): 10, ("common", 50, 9): 990}
    table = weight_table(words, WeightSettings(shares={"rare": 1, "common": 1}, max_repetition=4, min_repetition=0))
    assert table["rare", 50, 9] == 4
    assert table["common", 50, 9] == pytest.approx((1000 - 40) / 990, rel=1e-4)


def test_an_unnamed_domain_keeps_its_share_and_named_ones_divide_the_rest():
    shares = target_shares({"unknown": 50, "a": 25, "b": 25}, WeightSettings(shares={"a": 3, "b": 1, "c": 9}))
    assert shares == pytest.approx({"unknown": 0.5, "a": 0.375, "b": 0.125})


def test_a_domain_with_share_zero_has_weight_zero():
    table = weight_table({("a", 10, 9): 5, ("b", 10, 9): 5}, WeightSettings(shares={"a": 1, "b": 0}))
    assert table["b", 10, 9] == 0
    assert table["a", 10, 9] > 0


def test_without_a_named_domain_every_domain_keeps_its_share():
    assert target_shares({"x": 3, "y": 1}, WeightSettings(shares={"a": 1})) == {"x": 0.75, "y": 0.25}


def test_the_table_of_an_empty_dataset_is_empty():
    assert weight_table({}, WeightSettings()) == {}
    assert compare_shares({}, {}, WeightSettings()) == []


def test_compare_shares_reports_repetitions_and_the_capped_share():
    words = {("rare", 50, 9): 10, ("common", 50, 9): 990}
    settings = WeightSettings(shares={"rare": 1, "common": 1})
    lines = {m.domain: m for m in compare_shares(words, {"rare": 1, "common": 9}, settings)}
    assert lines["rare"].repetitions == 4
    assert lines["rare"].capped == 1
    assert lines["common"].documents == 9
    assert lines["rare"].target == 0.5
    assert lines["rare"].weighted == pytest.approx(0.04, rel=1e-3)


def test_cells_are_hundredths_of_quality_and_tenths_of_education_value():
    assert cell_of({"domain": "a", "quality_score": 0.504, "education_score": 2.26}) == ("a", 50, 23)
    assert cell_of({"domain": "a", "quality_score": 1.7, "education_score": -1.0}) == ("a", 100, 0)


@given(word_counts)
def test_each_score_alone_decides_if_it_is_chosen(words):
    for score, place, steps in (("quality", 1, QUALITY_STEPS), ("education", 2, EDUCATION_STEPS)):
        settings = WeightSettings(shares=None, max_repetition=1e9, min_repetition=0, score=score)
        table = weight_table(words, settings)
        for domain in {d for d, *_ in words}:
            cells_of_domain = [cell for cell in sorted(table) if cell[0] == domain]
            mean = sum(words[c] * (0.5 + c[place] / steps) for c in cells_of_domain)
            mean /= sum(words[c] for c in cells_of_domain)
            for cell in cells_of_domain:
                assert table[cell] == pytest.approx((0.5 + cell[place] / steps) / mean, rel=1e-4)


@given(word_counts)
def test_both_scores_count_by_the_higher_percentile_of_a_document(words):
    """Percentiles by brute force: every word of the dataset is a row."""
    settings = WeightSettings(shares=None, max_repetition=1e9, min_repetition=0, score="both")
    table = weight_table(words, settings)

    def percentile(cell, place):
        total = sum(words.values())
        below = sum(n for other, n in words.items() if other[place] < cell[place])
        at = sum(n for other, n in words.items() if other[place] == cell[place])
        return (below + at / 2) / total

    factor = {cell: 0.5 + max(percentile(cell, 1), percentile(cell, 2)) for cell in words}
    for domain in {d for d, *_ in words}:
        inside = [cell for cell in words if cell[0] == domain]
        mean = sum(factor[cell] * words[cell] for cell in inside) / sum(words[cell] for cell in inside)
        for cell in inside:
            assert table[cell] == pytest.approx(factor[cell] / mean, rel=1e-4)


def test_negative_shares_are_refused():
    with pytest.raises(ValidationError, match="shares must not be negative"):
        WeightSettings(shares={"a": -1})


def test_the_default_shares_name_the_labels_of_the_domain_model():
    from classifiers.artifacts import default_folder
    from classifiers.domain import load_domain_model

    assert set(WeightSettings().shares) == {*load_domain_model(default_folder("domain")).labels} - {"unknown"}
