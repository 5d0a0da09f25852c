"""The arms of the ablation of scores."""

from __future__ import annotations

import pytest

from tests.benchmarks.score_ablation import cut, weigh


def row(name: str, words: int, quality: float, education: float):
    return {"id": name, "domain": "a", "words": words, "quality_score": quality, "education_score": education}


ROWS = [row("b", 100, 0.9, 0.0), row("a", 100, 0.1, 5.0), row("c", 200, 0.5, 2.5)]


def test_a_score_raises_the_weights_of_its_pages_and_no_word_is_added():
    by = {score: [each["weight"] for each in weigh(ROWS, score)] for score in ("quality", "education", "both")}
    assert by["quality"][0] > by["quality"][2] > by["quality"][1]
    assert by["education"][1] > by["education"][2] > by["education"][0]
    assert by["both"][0] == by["both"][1] > by["both"][2]  # each is the best by one of the two
    for weights in by.values():
        assert sum(w * each["words"] for w, each in zip(weights, ROWS, strict=True)) == pytest.approx(400)


@pytest.mark.parametrize(("share", "names"), [(0.25, ["a"]), (0.26, ["a", "c"]), (1.0, ["b", "a", "c"])])
def test_the_cut_keeps_the_best_pages_that_reach_its_share_of_words_in_their_order(share, names):
    kept = cut([each | {"weight": 3.0} for each in ROWS], share)
    assert [(each["id"], each["weight"]) for each in kept] == [(name, 1.0) for name in names]
