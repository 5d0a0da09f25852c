"""tf-idf against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.estimators.linear import tf_idf

VOCABULARY = {word: number for number, word in enumerate("abcdefgh")}
IDF = np.linspace(0.5, 4.0, len(VOCABULARY))


@given(st.lists(st.sampled_from("abcdefghxyz"), max_size=300))
def test_words_are_weighted_by_count_and_rarity(words: list[str]) -> None:
    places, values = tf_idf(" ".join(words), VOCABULARY, IDF)
    expected = {VOCABULARY[w]: (1 + math.log(words.count(w))) * IDF[VOCABULARY[w]] for w in words if w in VOCABULARY}
    length = math.sqrt(sum(value * value for value in expected.values()))
    assert places.tolist() == sorted(expected)
    assert values == pytest.approx([expected[place] / length for place in sorted(expected)])
