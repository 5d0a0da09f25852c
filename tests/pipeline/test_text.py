"""Words, tokens and excerpts in scripts with and without spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import (
    CHARACTERS_PER_WORD,
    EXCERPT_CHARACTERS,
    bound_white_space,
    count_line_words,
    count_most_words,
    count_unspaced_characters,
    count_words,
    cut_excerpt,
    tokenize,
)


def test_words_are_counted_in_scripts_with_and_without_spaces():
    assert count_words("one two\n\nthree") == 3
    assert count_words("naïve café") == 2
    assert count_words("三个词，六个字") == 3
    assert count_words("") == 0


@pytest.mark.parametrize("text", ["It's a well-known fact.", "naïve café", "हिन्दी की किताब", "Привет, Ёлка", "3.14"])
def test_no_measure_exceeds_the_upper_bound_in_a_script_with_spaces(text):
    most = count_most_words(text)
    assert max(count_words(text), count_line_words(text, 0)) <= most


def test_every_script_without_spaces_is_counted_by_characters():
    assert count_unspaced_characters("ไทย ລາວ မြန်မာ ខ្មែរ བོད ひらカタ 漢字 𠀀") == 3 + 3 + 6 + 5 + 3 + 4 + 2 + 1
    assert count_unspaced_characters("Latin, Ελλάδα, Россия, हिन्दी, 한국어") == 0


def test_line_words_are_scaled_by_the_length_of_a_word_in_the_language():
    assert count_line_words("one two, three", 0) == 3
    assert count_line_words("三个词，六个字", CHARACTERS_PER_WORD["zh"]) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, WORLD! It's snake_case 3.14", ["hello", "world", "it", "s", "snake", "case", "3", "14"]),
        ("Ça été l’Ünïcode", ["ca", "ete", "l", "unicode"]),
        ("Привет, Ёлка", ["привет", "елка"]),
        ("北京大学 in 2026", ["北", "京", "大", "学", "in", "2026"]),
        ("ひらカタ", ["ひ", "ら", "カ", "タ"]),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("हिन्दी की", ["हनद", "क"]),  # vowel signs are no letters to Python; left out everywhere alike
        ("ﬁne ｆｕｌｌ", ["fine", "full"]),
        ("", []),
        ("... !!!", []),
    ],
)
def test_tokens(text, expected):
    assert tokenize(text) == expected


def test_an_excerpt_is_cut_between_words():
    text = "word " * 98 + "call 0123456789012345 today"
    assert len(text) > EXCERPT_CHARACTERS
    assert cut_excerpt(text) == "word " * 98 + "call"
    assert cut_excerpt("x" * 600) == "x" * EXCERPT_CHARACTERS
    assert cut_excerpt("short") == "short"


@pytest.mark.timeout(60)
def test_white_space_is_bounded() -> None:
    assert bound_white_space("a" + " " * 3_000_000 + "b") == "a" + " " * 120 + "b"
    assert bound_white_space("a" + "\n \t" * 100_000 + "\nb") == "a" + "\n" * 11 + "b"
    assert bound_white_space("a" + "\u200b\u00a0" * 100_000 + "b") == "a" + "\u200b\u00a0" * 60 + "b"
    assert bound_white_space("\n" + " " * 300_000) == "\n" + " " * 120
    invisible = "\u00ad\u061c\u115f\u180e\u202a\u2062\u2800\u3164\ufe0f\uffa0\ufff9\U000e0020"
    for character in (*invisible, invisible):
        assert len(bound_white_space("a" + character * 300_000 + "b")) == 122, f"{character!r}"
        assert bound_white_space("a" + f"{character}\n" * 50_000 + "b").count("\n") <= 11, f"{character!r}"
    emoji = "❤\ufe0f \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f " * 1_000
    assert bound_white_space(emoji) == emoji
    code = "def f():\n        return 1\n\n\n\nx  =   2\n"
    assert bound_white_space(code) == code


@given(st.text(alphabet="a \n\t\u00a0\u200b", max_size=400))
def test_bounded_white_space_stays_bounded_and_no_letter_is_lost(text: str) -> None:
    bounded = bound_white_space(text)
    assert bounded.count("a") == text.count("a")
    assert bound_white_space(bounded) == bounded
    assert " " * 121 not in bounded
    assert "\n" * 12 not in bounded
