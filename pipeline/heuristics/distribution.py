"""Token-distribution outliers: the Jensen-Shannon divergence of a page's word frequencies from those of its language.

RefinedWeb drops such outliers but gives no threshold (Penedo et al. 2023, appendix G.2); Gopher's authors used the
Kullback-Leibler divergence of unigrams. Jensen-Shannon is bounded (0 to 1 bit) and needs no smoothing. The
distributions are over the most common words of the language (pipeline/lists/words/reference), with one class for all
other words: prose has function words in nearly fixed shares, keyword lists and word salad have few of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import log2
from pathlib import Path

from pydantic import Field

from pipeline import storage
from pipeline.heuristics.rules import HeuristicReason, Rule
from pipeline.heuristics.text_parts import TextParts
from pipeline.settings import Settings

REFERENCE_FOLDER = Path(__file__).parent.parent / "lists" / "words" / "reference"
_MIN_WORDS = 200  # below this, chance dominates the divergence


class DistributionSettings(Settings):
    """Limit of the divergence. Measured: 1% of real pages lie above 0.30 bits, a list of names at 0.35."""

    max_divergence: float | None = Field(
        0.30, ge=0, le=1, description="bits of Jensen-Shannon divergence from the language's word frequencies"
    )


RULES = (Rule(HeuristicReason.UNUSUAL_WORDS, "distribution_divergence", "max_divergence"),)
SIGNALS = ("distribution_divergence",)


@cache
def load_reference(language: str) -> Mapping[str, float] | None:
    """Shares of the most common words of a language; None for a language without a table."""
    path = REFERENCE_FOLDER / f"{language}.txt"
    if not language.isalpha() or not storage.exists(str(path)):
        return None
    lines = storage.read_named(path, "word frequencies").decode().splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {word: float(share) for word, share in rows}


def measure(page: TextParts) -> dict[str, float]:
    """Measure the divergence; empty for short pages and languages without a table."""
    table = load_reference(page.language)
    if table is None or page.prose_words < _MIN_WORDS:
        return {}
    return {"distribution_divergence": jensen_shannon(page.unit_counts, table)}


def jensen_shannon(counts: Mapping[str, int], table: Mapping[str, float]) -> float:
    """Jensen-Shannon divergence in bits of the page from the table; words outside the table are one class.

    A word of the table that the page lacks adds half its share: `unseen` sums these shares.
    """
    total = sum(counts.values())
    table_rest = 1.0 - sum(table.values())
    page_rest, unseen, result = 1.0, 1.0 - table_rest, 0.0
    for word, expected in table.items():  # table order: the sum of floats depends on it
        if word in counts:
            share = counts[word] / total
            result += _term(share, expected)
            page_rest -= share
            unseen -= expected
    rest = _term(max(0.0, page_rest), max(0.0, table_rest))
    return min(1.0, max(0.0, result + rest + unseen / 2))


def _term(p: float, q: float) -> float:
    middle = (p + q) / 2
    return (p * log2(p / middle) if p else 0.0) / 2 + (q * log2(q / middle) if q else 0.0) / 2
