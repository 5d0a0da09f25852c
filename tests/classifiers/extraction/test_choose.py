"""The choice of blocks is the best of all choices."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.extraction.blocks import read_blocks
from classifiers.extraction.choose import ONE, choose_blocks, drop_last_headings, drop_repeats, look_up, smooth_scores
from classifiers.extraction.parse_html import parse_html

BLOCKS = st.tuples(st.integers(0, ONE), st.integers(0, 50))
PAGES = st.lists(BLOCKS, max_size=8).filter(lambda blocks: not blocks or max(blocks)[0] >= ONE // 5)


def f_score(chosen: tuple[bool, ...], blocks: list[tuple[int, int]], recall_weight: Fraction) -> Fraction:
    expected = sum(Fraction(p, ONE) * size for p, size in blocks)
    found = sum(Fraction(p, ONE) * size for (p, size), take in zip(blocks, chosen, strict=True) if take)
    taken = sum(size for (_, size), take in zip(blocks, chosen, strict=True) if take)
    return (1 + recall_weight) * found / (taken + recall_weight * expected) if expected else Fraction(0)


@given(PAGES, st.sampled_from([Fraction(1), Fraction(1, 4), Fraction(4)]))
def test_no_other_choice_is_better(blocks: list[tuple[int, int]], recall_weight: Fraction) -> None:
    probabilities = np.array([p for p, _ in blocks], dtype=np.int64)
    sizes = np.array([size for _, size in blocks], dtype=np.int64)
    choice = choose_blocks(probabilities, sizes, float(recall_weight))
    best = max(
        (f_score(chosen, blocks, recall_weight) for chosen in product([False, True], repeat=len(blocks))),
        default=Fraction(0),
    )
    own = f_score(tuple(choice.chosen.tolist()), blocks, recall_weight)
    assert float(own) == pytest.approx(float(best), rel=1e-12)
    assert choice.expected_f1 == pytest.approx(float(f_score(tuple(choice.chosen.tolist()), blocks, Fraction(1))))
    if sizes.sum():
        assert choice.kept_share == pytest.approx(sizes[choice.chosen].sum() / sizes.sum())


def test_nothing_is_chosen_where_no_block_is_probable() -> None:
    sizes = np.array([40, 4])
    for best, kept in ((ONE // 5 - 1, 0), (ONE // 5, 1)):
        choice = choose_blocks(np.array([best, 10]), sizes, 1.0)
        assert choice.chosen.sum() == kept
        assert (choice.expected_f1 > 0) == (choice.kept_share > 0) == bool(kept)


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        ("<h1>Rye</h1><div>Rye</div><p>Rye</p><p>a rye</p>", ["Rye", "a rye"]),
        ("<p>Rye</p><p>Oats</p><p>Rye</p>", ["Rye", "Oats", "Rye"]),
        ("<p>2</p><p>2</p>", ["2", "2"]),
        ("<ul><li>Rye<li>Rye</ul><table><tr><td>no<td>no</table>", ["Rye", "Rye", "no", "no"]),
        ("<p>Buy rye!</p>" * 5, ["Buy rye!"] * 5),
    ],
)
def test_a_block_that_repeats_the_one_before_goes(html: str, kept: list[str]) -> None:
    tree, _ = parse_html(f"<html><body>{html}</body></html>".encode())
    assert tree is not None
    blocks = read_blocks(tree)
    sizes = np.full(len(blocks.texts), 10)
    choice = drop_repeats(choose_blocks(np.full(len(sizes), ONE), sizes), blocks, sizes)
    assert [text for text, taken in zip(blocks.texts, choice.chosen, strict=True) if taken] == kept
    assert choice.kept_share == pytest.approx(len(kept) / len(sizes))


def last_headings(html: str, chosen: str) -> list[str]:
    """What is left of the blocks that begin with one of the letters of `chosen`."""
    tree, _ = parse_html(f"<html><body>{html}</body></html>".encode())
    assert tree is not None
    blocks = read_blocks(tree)
    sizes = np.full(len(blocks.texts), 10)
    probabilities = np.array([ONE if text[0] in chosen else ONE // 100 for text in blocks.texts])
    choice = drop_last_headings(choose_blocks(probabilities, sizes), blocks, sizes)
    assert choice.kept_share == pytest.approx(choice.chosen.mean())
    return [text for text, taken in zip(blocks.texts, choice.chosen, strict=True) if taken]


def test_last_headings_go_with_their_sections() -> None:
    related = "<h1>Storms</h1><p>text</p><h2>Related</h2><h3>More</h3><div>other pages</div>"
    assert last_headings(related, "StRM") == ["Storms", "text"]
    assert last_headings(related, "StRMo") == ["Storms", "text", "Related", "More", "other pages"]


@pytest.mark.parametrize(
    "html",
    [
        "<h1>Storms</h1><p>text</p><h2>Last</h2>",  # nothing was left out
        "<h1>Storms</h1><p>text</p><h3>Last</h3><h2>omitted</h2><p>of another section</p>",
        '<h1>Storms</h1><p>text</p><h2><a href="/a">Last</a></h2><p>omitted teaser</p>',
        "<h2>Last</h2><p>omitted</p>",  # a page is never emptied
    ],
)
def test_other_last_headings_stay(html: str) -> None:
    assert last_headings(html, "StL")[-1] == "Last"


@given(PAGES)
def test_likely_blocks_have_a_third_of_the_least_chosen_probability(blocks: list[tuple[int, int]]) -> None:
    probabilities = np.array([p for p, _ in blocks], dtype=np.int64)
    choice = choose_blocks(probabilities, np.array([size for _, size in blocks], dtype=np.int64))
    least = min((p for (p, _), take in zip(blocks, choice.chosen, strict=True) if take), default=None)
    expected = [least is not None and Fraction(p, ONE) >= Fraction(least, 3 * ONE) for p, _ in blocks]
    assert choice.likely.tolist() == expected


def test_the_weight_of_recall_goes_from_precision_to_recall() -> None:
    probabilities = np.array([ONE, ONE // 2, ONE // 4, ONE // 10])
    sizes = np.full(4, 100)
    kept = [int(choose_blocks(probabilities, sizes, weight).chosen.sum()) for weight in (0.01, 1.0, 20.0)]
    assert kept == [1, 2, 4]


@given(st.lists(st.tuples(st.integers(-9000, 9000), st.integers(0, 4)), max_size=12))
def test_blocks_built_alike_move_half_way_to_their_mean(blocks: list[tuple[int, int]]) -> None:
    scores = np.array([score for score, _ in blocks], dtype=np.int32)
    paths = np.array([path for _, path in blocks], dtype=np.int32)
    alike = {path: [score for score, other in blocks if other == path] for _, path in blocks}
    expected = [(score + sum(alike[path]) // len(alike[path])) // 2 for score, path in blocks]
    assert smooth_scores(scores, paths).tolist() == expected


def test_probabilities_come_from_the_table() -> None:
    table = np.array([0, 10, 20, 30], dtype=np.int32)
    scores = np.array([-10_000, -17, -16, -1, 0, 15, 16, 10_000], dtype=np.int32)
    assert look_up(scores, table, 16).tolist() == [0, 0, 10, 10, 20, 20, 30, 30]
