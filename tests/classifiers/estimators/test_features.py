"""Features against their definitions, computed character by character and word by word."""

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.estimators.features import MAX_CHARACTERS, STATISTICS, kind_line, statistics, style_line, topic_line
from classifiers.estimators.function_words import FUNCTION_WORDS

CODE_POINTS = [chr(i) for i in range(32, sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
CHUNKS = ["".join(CODE_POINTS[i : i + 9_000]) for i in range(0, len(CODE_POINTS), 9_000)]


@pytest.mark.parametrize("separator", ["", " "])
def test_characters_are_counted_by_their_properties(separator: str) -> None:
    for chunk in CHUNKS:
        # Without the characters of markup, also those that the compatibility form has.
        head = separator.join(re.sub(r"[][()`*|~#+•>\-!:]", "x", unicodedata.normalize("NFKC", chunk)))
        text = head = unicodedata.normalize("NFKC", head)[:MAX_CHARACTERS]
        found = dict(zip(STATISTICS, statistics(text), strict=True))
        length = sum(len(line.strip()) for line in head.splitlines()) or 1
        assert found["digit_share"] == sum(map(str.isdigit, head)) / length
        assert found["upper_share"] == sum(map(str.isupper, head)) / max(sum(map(str.isalpha, head)), 1)


@pytest.mark.parametrize("word", ["ΟΔΟΣ", "ΤΗΣ", "İLE", "TODAY"])
@pytest.mark.parametrize("separator", [" ", ".", "'"])
def test_each_word_is_lowered_by_itself_for_the_statistics(word: str, separator: str) -> None:
    """In 'ΤΗΣ.Α' the whole text has the lower case 'τησ.α', the word alone 'της', which is a function word."""
    words = [word, "Α", word]
    expected = sum(each.lower() in FUNCTION_WORDS for each in words) / 3
    assert statistics(separator.join(words))[STATISTICS.index("function_word_share")] == expected


@given(st.text(), st.text())
def test_features_of_a_text_do_not_depend_on_the_text_before(one: str, other: str) -> None:
    first = (style_line(one), topic_line("t", one), kind_line(one, one), statistics(one).tolist())
    statistics(other)
    assert (style_line(one), topic_line("t", one), kind_line(one, one), statistics(one).tolist()) == first
