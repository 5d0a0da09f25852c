"""What the heuristics measure, against plain counts and definitions."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.heuristics import c4, distribution, gopher, harmful_words
from pipeline.heuristics.text_parts import Form, parts
from pipeline.stages.filter_heuristics import Settings, measure
from tests.pipeline.heuristics.good_texts import CHINESE

DEFAULT = Settings()


def test_forms_of_lines() -> None:
    page = parts("a b\n\n- item\n\n| x | y |\n\n```\ncode\n```\n\n$$\nx\n$$\n\n$$y$$\n\nend", "en")
    code, formula = [Form.CODE] * 3, [Form.FORMULA] * 4
    assert page.forms == [Form.PROSE, Form.LIST_ITEM, Form.TABLE, *code, *formula, Form.PROSE]
    assert parts("```\nnever closed", "en").forms == [Form.PROSE, Form.PROSE]
    assert parts("| " + "word " * 20 + "|", "en").forms == [Form.PROSE]  # a table that lays out a page


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
    words = 5 - 1 + 6 + 50  # "#" and the dash are signs
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


def test_sentences() -> None:
    assert c4.sentences(["One. Two! Three?", 'He said "four." Five', "3.14 is no end."]) == 6
    assert c4.sentences(["这是一。这是二！", "没有标点"]) == 3


@pytest.mark.parametrize(
    ("line", "is_curly"),
    [
        ("var page = {title: 'x'};", True),
        ('$(window).load(function(){ $("#menu").slicknav(); });', True),
        ("$('a').on('click',function(){$('b').hide()});", True),
        ("jQuery(document).ready(function($){ $('.x').show(); });", True),
        ("Pay $5 and {name} gets $10 back.", True),
        ("Let $x_{1}$ and $\\frac{a}{b}$ be given, and $$\\sum_{i} x_{i}$$ their sum.", False),
        ("At $5 a piece, $x_{1}$ of them cost much.", False),
        ("Write `f{x}` for the braces.", False),
        ("Write to <EMAIL_1> for $5.", False),
    ],
)
def test_scripts_that_leaked_are_curly_and_formulas_are_not(line: str, is_curly: bool) -> None:
    assert c4.measure(parts(line, "en"))["c4_curly_lines"] == float(is_curly)


def test_divergence_is_jensen_shannon() -> None:
    table = {"a": 0.5, "b": 0.25}  # a quarter for all other words
    assert distribution.divergence({"a": 2, "b": 1, "x": 1}, table) == pytest.approx(0)
    p, q = [0.0, 0.5, 0.5], [0.5, 0.25, 0.25]
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    expected = sum(x * math.log2(x / m) for x, m in zip(p, middle, strict=True) if x) / 2
    expected += sum(y * math.log2(y / m) for y, m in zip(q, middle, strict=True)) / 2
    assert distribution.divergence({"b": 1, "x": 1}, table) == pytest.approx(expected)
    assert distribution.divergence({"x": 1}, {"a": 1.0}) == pytest.approx(1)


def test_reference_tables_are_shares_in_order() -> None:
    tables = sorted(distribution.REFERENCES.glob("*.txt"))
    assert len(tables) > 35
    for path in tables:
        table = distribution.reference(path.stem)
        assert table is not None
        shares = list(table.values())
        assert shares == sorted(shares, reverse=True)
        assert 0.1 < sum(shares) < 1, path
    assert distribution.reference("../secret") is None


def test_stop_words() -> None:
    assert gopher.stop_words("en") == gopher.ENGLISH_STOP_WORDS
    assert {"und", "der", "die"} <= gopher.stop_words("de")
    assert len(gopher.stop_words("fi")) >= 8
    assert gopher.stop_words("xx") == frozenset()


def test_harmful_words_and_phrases_are_counted_as_words() -> None:
    words = harmful_words.words_of(harmful_words.Settings(), "en")
    assert words is not None
    hits = words.found(parts("Cocktail of porn? Blow job, PORN! and classic analysis", "en"))
    assert sorted(hits) == ["blow job", "porn", "porn"]
