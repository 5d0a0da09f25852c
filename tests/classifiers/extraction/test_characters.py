"""Counts of characters agree with counting them one by one."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from classifiers.extraction.characters import STOP, WORD, count_characters

ALPHABET = st.sampled_from("aZ 9,.!-é ñ中文かなไทย។,;:?。，、€ß(À")
TEXTS = st.lists(st.text(ALPHABET, min_size=1).map(lambda text: " ".join(text.split()) or "a"), min_size=1, max_size=6)


@given(TEXTS)
def test_counts(texts: list[str]) -> None:
    counts = count_characters(texts)
    for number, text in enumerate(texts):
        ideographs = len(re.findall("[中文かな]", text))
        syllables = len(re.findall("[ไทย]", text))
        assert counts.length[number] == len(text)
        assert counts.size[number] == WORD * (text.count(" ") + 1) + 2 * ideographs + syllables
        assert counts.capitals[number] == sum(unicodedata.category(c) == "Lu" for c in text)
        assert counts.commas[number] == sum(c in ",;:、，；：" for c in text)
        assert (counts.last[number] == STOP) == (text[-1] in ".!?。។")


def test_a_sentence_ends_before_a_space_and_at_the_end() -> None:
    texts = ["One. Two.", "v1.2 at example.org", "Ende", "句子。句子。", "Why?!"]
    assert count_characters(texts).sentences.tolist() == [2, 0, 0, 2, 1]
