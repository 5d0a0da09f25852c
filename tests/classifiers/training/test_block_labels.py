"""Blocks are labeled by a gold text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.training.block_labels import label_blocks

PROSE = "the old mill stands by the river and its wheel has turned for a hundred years or more"
OTHER = "subscribe to our newsletter and never miss an offer from any of our partners again"


@pytest.mark.parametrize(
    ("texts", "gold", "shares"),
    [
        (["Home", PROSE, OTHER], PROSE, [0, 1, 0]),
        ([f"{PROSE} {OTHER}"], PROSE, [pytest.approx(0.55, abs=0.1)]),
        ([PROSE, PROSE], PROSE, [1, 0]),  # each copy of the gold text is used once
        ([PROSE, "The weir", OTHER.upper()], f"{PROSE}\n\nThe weir\n\n{OTHER}", [1, 1, 1]),
        (["river", OTHER, PROSE], PROSE, [0, 0, 1]),  # a word alone matches by chance
        ([PROSE, "***", OTHER], PROSE, [1, 1, 0]),  # no words: like the block before
        ([PROSE], "", [0]),
        (["水車は川のそばに立っている。", "購読する"], "水車は川のそばに立っている。", [1, 0]),
    ],
)
def test_labels(texts: list[str], gold: str, shares: list[float]) -> None:
    assert label_blocks(texts, gold).tolist() == shares


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9)


@given(st.lists(WORDS.map(" ".join), max_size=8))
def test_a_page_that_is_its_gold_text_is_all_main_content(texts: list[str]) -> None:
    shares = label_blocks(texts, "\n".join(texts))
    long_ones = [share for share, text in zip(shares, texts, strict=True) if len(text.split()) >= 5]
    assert long_ones == [1] * len(long_ones)
    assert all(0 <= share <= 1 for share in shares)
