"""Words of a text and their tf-idf, against plain loops over the definitions."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import numpy as np
import pytest

from classifiers.estimators.features import ReadText, read_text
from classifiers.estimators.linear import tf_idf
from classifiers.estimators.word_counts import Places, WordCounts

TEXTS = ("", "Two mills, two 12 a12b 07; don't 3 x² ٣", "00 0 1 12 0x 1x", "…" * 3_000, "漢字 and 漢 1字 ﷺ")


@pytest.mark.parametrize("text", TEXTS)
def test_digits_of_words_are_zeros_and_words_have_no_digits(text: str) -> None:
    page = read_text(text)
    zeros = "".join("0" if character.isdecimal() else character for character in page.lowered)
    assert page.style.keys() == read_text(zeros).style.keys()
    assert sum(page.style.values()) == sum(read_text(zeros).style.values())
    letters = Counter("".join(word for word in page.words.elements() if word.isalpha()))
    assert letters == Counter(filter(str.isalpha, page.lowered))


@pytest.mark.parametrize(
    "parts",
    [
        [{}],
        [{"unknown": 3}, {}],
        [{"a": 1, "b": 70_000, "c": 2, "unknown": 5}],
        [{"b": 1, "a": 2}, {"other": 4, "a": 3}, {"b": 1}],
    ],
)
def test_tf_idf_is_its_formula(parts: list[dict[str, int]]) -> None:
    words, idf = ("c", "a", "b"), np.array([1.5, 2.0, 0.25])
    read = [WordCounts(part) for part in parts]
    before = tf_idf(read, places := Places(words), idf)
    Places(("unknown", "other"))  # a model loaded later numbers more words
    found, values = tf_idf(read, places, idf)
    assert [array.tolist() for array in before] == [found.tolist(), values.tolist()]
    counts = sum(map(Counter, parts), Counter[str]())
    raw = {i: (1 + math.log(counts[word])) * idf[i] for i, word in enumerate(words) if word in counts}
    length = math.sqrt(sum(value * value for value in raw.values()))
    assert dict(zip(found.tolist(), values.tolist(), strict=True)) == pytest.approx(
        {number: value / length for number, value in raw.items()}
    )
    assert found.tolist() == sorted(raw)


def test_a_model_loaded_later_finds_its_words_in_counts_that_another_has_read() -> None:
    counts = WordCounts({"read before": 2, "read later": 3})
    assert Places(["read before"]).find([counts])[1].tolist() == [2]
    assert Places(["read later", "read before"]).find([counts])[1].tolist() == [3, 2]


MARKUP = re.compile(  # as its definition reads, without the order that makes it fast
    r"!?\[([^\]\n]*)\]\([^)\s]*\)|^[ \t]*(?:#{1,6}|[-*+•>]|\|)[ \t]*|[`*|~]+|^[ \t|:-]+$", re.MULTILINE
)


def test_markup_is_removed_as_its_definition_says() -> None:
    chance = random.Random(5)
    for _ in range(20_000):
        text = "".join(chance.choices("\n\n\n -*+•>|#`~[]()!:ab\t", k=chance.randrange(14)))
        assert ReadText(text).head == MARKUP.sub(lambda found: found[1] or "", text), repr(text)
