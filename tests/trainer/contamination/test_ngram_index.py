from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.contamination.ngram_index import (
    WORD,
    ContaminationSettings,
    Item,
    build_index,
    find_matches,
    normalize,
)


@given(
    st.lists(st.text(alphabet="abc .\n漢字", max_size=60), min_size=1, max_size=5),
    st.text(alphabet="abc .\n漢字", max_size=200),
)
def test_matches_are_those_of_a_set_of_word_tuples(texts: list[str], document: str) -> None:
    """Brute force: every run of words as a tuple."""
    settings = {"words": 3, "min_words": 2}
    index = build_index([Item("quiz", n, text) for n, text in enumerate(texts)], ContaminationSettings(**settings))

    def grams(text: str, length: int) -> list[tuple[str, ...]]:
        words = [word.group() for word in WORD.finditer(normalize(text))]
        return [tuple(words[n : n + length]) for n in range(len(words) - length + 1)]

    lengths = [min(len(grams(text, 1)), 3) for text in texts]
    known = {gram for text, length in zip(texts, lengths, strict=True) if length >= 2 for gram in grams(text, length)}
    expected = {
        (length, start) for length in (2, 3) for start, gram in enumerate(grams(document, length)) if gram in known
    }
    assert {(length, start) for length, _, start in find_matches(index, "d", document).grams} == expected
