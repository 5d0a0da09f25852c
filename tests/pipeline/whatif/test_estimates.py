"""Intervals from a sample cover what all pages give, whatever duplicates are among the pages that were not drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from pipeline.whatif.estimates import Newcomers, bound_share, estimate_newcomers, estimate_sum

POPULATIONS = {
    "no duplicates": [1] * 1000,
    "pairs": [2] * 500,
    "groups of ten": [10] * 100,
    "one large group": [333] + [1] * 667,
    "all the same": [1000],
    "many sizes": [number for size in (1, 2, 3, 5, 8, 20, 60) for number in [size] * (120 // size)],
}


@dataclass
class Crawl:
    """Pages in groups of duplicates. Some of a group's pages reach deduplication, where the best of them is kept."""

    group: np.ndarray
    reaches: np.ndarray
    words: np.ndarray
    rank: np.ndarray
    known: np.ndarray  # groups of which a better page is known
    displaces: np.ndarray  # groups whose kept page displaces a known one of 300 words

    def decide(self, pages: np.ndarray) -> tuple[list[float], list[int], list[float]]:
        """Words of kept pages, sizes of groups, words of displaced ones, if there were only these pages."""
        members = sorted((number for number in pages if self.reaches[number]), key=lambda number: self.rank[number])
        groups: dict[int, list[int]] = {}
        for number in members:
            if not self.known[self.group[number]]:
                groups.setdefault(self.group[number], []).append(number)
        words = [float(self.words[found[0]]) for found in groups.values()]
        return words, [len(found) for found in groups.values()], [300.0 for g in groups if self.displaces[g]]


def make_crawl(sizes: list[int], random: np.random.Generator, share: float, known: float, displaces: float) -> Crawl:
    group = np.repeat(np.arange(len(sizes)), sizes)
    return Crawl(
        group, random.random(len(group)) < share, random.lognormal(6, 0.8, len(group)).round() + 1,
        random.permutation(len(group)), random.random(len(sizes)) < known, random.random(len(sizes)) < displaces,
    )  # fmt: skip


@pytest.mark.parametrize("drawn", [30, 300])
@pytest.mark.parametrize("name", POPULATIONS)
def test_undrawn_duplicates_are_inside_the_interval(name: str, drawn: int) -> None:
    covered = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        share, known, displaces = [(1.0, 0.0, 0.0), (0.5, 0.3, 0.2), (0.05, 0.0, 0.0)][seed % 3]
        crawl = make_crawl(POPULATIONS[name], random, share, known, displaces)
        pages = len(crawl.group)
        words, groups, displaced = crawl.decide(random.permutation(pages)[:drawn])
        kept, sums = estimate_newcomers(Newcomers(pages, drawn, words, groups, displaced), 400.0)
        all_words, _, all_displaced = crawl.decide(np.arange(pages))
        further = len(all_words) - len(all_displaced) - len(words) + len(displaced)
        further_words = sum(all_words) - sum(all_displaced) - sum(words) + sum(displaced)
        covered.append(kept.low <= further <= kept.high and sums.low <= further_words <= sums.high)
        assert kept.low <= kept.value <= kept.high
    assert np.mean(covered) >= 0.95


def test_a_larger_sample_narrows_the_interval() -> None:
    widths = []
    for drawn in (30, 100, 300, 900):
        kept, _ = estimate_newcomers(Newcomers(1000, drawn, [400.0] * drawn, [1] * drawn), 400.0)
        widths.append(kept.high - kept.low)
    assert widths == sorted(widths, reverse=True)
    assert estimate_newcomers(Newcomers(1000, 1000, [400.0] * 1000, [1] * 1000), 400.0)[0].high == 0


def test_where_no_duplicate_stays_both_of_a_pair_are_lost() -> None:
    kept, _ = estimate_newcomers(Newcomers(10_000, 300, [400.0] * 300, [1] * 300, one_stays=False), 400.0)
    assert kept.low <= 0, "all could be pairs"


@pytest.mark.parametrize(("hits", "drawn"), [(0, 20), (7, 20), (20, 20)])
def test_the_bounds_of_a_share_are_exact(hits: int, drawn: int) -> None:
    """At the bounds the observed count, or a more extreme one, has half a per cent."""
    low, high = bound_share(hits, drawn)
    assert low == 0 if hits == 0 else stats.binom.sf(hits - 1, drawn, low) == pytest.approx(0.005)
    assert high == 1 if hits == drawn else stats.binom.cdf(hits, drawn, high) == pytest.approx(0.005)


def test_all_pages_give_the_sum_itself() -> None:
    found = estimate_sum([1.0, 0.0, 5.0], 3, 1.0)
    assert (found.low, found.value, found.high) == (6.0, 6.0, 6.0)
