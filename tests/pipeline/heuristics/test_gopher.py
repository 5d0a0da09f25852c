"""Gopher's measurements, compared with plain counts and brute-force definitions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.heuristics import gopher
from pipeline.stages.filter_heuristics import FilterHeuristicsSettings, measure
from tests.pipeline.heuristics.good_texts import CHINESE

DEFAULT = FilterHeuristicsSettings()


def brute_force_ngrams(words: list[str]) -> dict[str, float]:
    """By definition, with sets of tuples and a covered flag for every word."""
    total = sum(map(len, words))
    shares = {}
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        covered: set[int] = set()
        if n < 5:
            most = max(counts.values(), default=0)
            if most > 1:
                candidates = [gram for gram, count in counts.items() if count == most]
                best = max(candidates, key=lambda gram: sum(map(len, gram)))  # the first of the longest
                covered = {i + k for i, gram in enumerate(grams) if gram == best for k in range(n)}
        else:
            covered = {i + k for i, gram in enumerate(grams) if gram in grams[:i] for k in range(n)}
        name = f"gopher_top_{n}_gram" if n < 5 else f"gopher_duplicate_{n}_grams"
        shares[name] = sum(len(words[i]) for i in covered) / total if total else 0.0
    return shares


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "dd"]), max_size=60))
def test_ngram_shares_are_those_of_the_definition(words: list[str]) -> None:
    assert gopher.ngram_shares(words) == pytest.approx(brute_force_ngrams(words))


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["One line.", "Another line.", "A third and longer line."]), min_size=1, max_size=20))
def test_duplicate_shares_are_those_of_the_definition(lines: list[str]) -> None:
    signals = measure("\n\n".join(lines), "en", DEFAULT)
    again = [line for i, line in enumerate(lines) if line in lines[:i]]
    for what in ("line", "paragraph"):
        assert signals[f"gopher_duplicate_{what}s"] == pytest.approx(len(again) / len(lines))
        assert signals[f"gopher_duplicate_{what}_characters"] == pytest.approx(
            sum(map(len, again)) / sum(map(len, lines))
        )


def test_quality_measurements_by_hand() -> None:
    text = "- The # mill... of 1723\n\nand to – that have with be\n\n" + "word " * 50
    signals = measure(text, "en", DEFAULT)
    words = 5 - 1 + 6 + 50  # "#" and the dash are symbols
    assert signals["gopher_words"] == words
    assert signals["gopher_hash_ratio"] == pytest.approx(1 / words)
    assert signals["gopher_ellipsis_ratio"] == pytest.approx(1 / words)
    assert signals["gopher_alphabetic_words"] == pytest.approx((words - 1) / (words + 2))
    assert signals["gopher_stop_words"] == 8
    assert signals["gopher_bullet_lines"] == pytest.approx(1 / 3)


def test_chinese_is_counted_by_characters() -> None:
    signals = measure(CHINESE, "zh", DEFAULT)
    characters = sum(c.isalnum() for c in CHINESE)
    assert signals["gopher_words"] == characters / 2
    assert "gopher_stop_words" not in signals
    assert "gopher_mean_word_length" not in signals


def test_stop_words() -> None:
    assert gopher.stop_words("en") == gopher.ENGLISH_STOP_WORDS
    assert {"und", "der", "die"} <= gopher.stop_words("de")
    assert len(gopher.stop_words("fi")) >= 8
    assert gopher.stop_words("xx") == frozenset()
