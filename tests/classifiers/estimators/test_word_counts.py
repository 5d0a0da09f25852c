"""Words of a text and their tf-idf, against plain loops over the definitions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from classifiers.estimators.features import read_text
from classifiers.estimators.linear import tf_idf

TEXTS = ("", "Two mills, two 12 a12b 07; don't 3 x² ٣", "00 0 1 12 0x 1x", "…" * 3_000, "漢字 and 漢 1字 ﷺ")


@pytest.mark.parametrize("text", TEXTS)
def test_digits_of_words_are_zeros_and_words_have_no_digits(text: str) -> None:
    page = read_text(text)
    zeros = "".join("0" if character.isdecimal() else character for character in page.lowered)
    assert page.style.keys() == read_text(zeros).style.keys()
    assert sum(page.style.values()) == sum(read_text(zeros).style.values())
    letters = Counter("".join(word for word in page.words.elements() if word.isalpha()))
    assert letters == Counter(filter(str.isalpha, page.lowered))


@pytest.mark.parametrize("counts", [{}, {"unknown": 3}, {"a": 1, "b": 70_000, "c": 2, "unknown": 5}])
def test_tf_idf_is_its_formula(counts: dict[str, int]) -> None:
    place, idf = {"c": 0, "a": 1, "b": 2}, np.array([1.5, 2.0, 0.25])
    places, values = tf_idf(counts, place, idf)
    raw = {place[word]: (1 + math.log(count)) * idf[place[word]] for word, count in counts.items() if word in place}
    length = math.sqrt(sum(value * value for value in raw.values()))
    assert dict(zip(places.tolist(), values.tolist(), strict=True)) == pytest.approx(
        {number: value / length for number, value in raw.items()}
    )
    assert places.tolist() == sorted(raw)
