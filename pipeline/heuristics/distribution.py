"""Token-distribution outliers: how far a page's words are from those of its language, as a Jensen-Shannon divergence.

RefinedWeb drops outliers of this sort, without a number (Penedo et al. 2023, appendix G.2); Gopher's authors used the
Kullback-Leibler divergence of unigrams. Jensen-Shannon is bounded (0 to 1 bit) and needs no smoothing. The
distributions are over the commonest words of the language (pipeline/lists/words) and one place for all others; prose
has its function words in nearly fixed shares, keyword lists and word salad have few of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from math import log2
from pathlib import Path

from pydantic import Field

import pipeline.settings
from pipeline.heuristics.rules import Reason, Rule
from pipeline.heuristics.text_parts import Parts

REFERENCES = Path(__file__).parent.parent / "lists" / "words" / "reference"
_ENOUGH_WORDS = 200  # below, chance alone moves the divergence


class Settings(pipeline.settings.Settings):
    max_divergence: float | None = Field(
        0.30, ge=0, le=1
    )  # bits; one real page in a hundred lies above, a list of names at 0.35


RULES = (Rule(Reason.UNUSUAL_WORDS, "distribution_divergence", "max_divergence"),)
SIGNALS = ("distribution_divergence",)


@cache
def reference(language: str) -> Mapping[str, float] | None:
    """Shares of the commonest words of a language, None where there is no table."""
    path = REFERENCES / f"{language}.txt"
    if not language.isalpha() or not path.is_file():
        return None
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {word: float(share) for word, share in rows}


def measure(page: Parts) -> dict[str, float]:
    table = reference(page.language)
    if table is None or page.prose_words < _ENOUGH_WORDS:
        return {}
    return {"distribution_divergence": divergence(Counter(page.units), table)}


def divergence(counts: Mapping[str, int], table: Mapping[str, float]) -> float:
    """Jensen-Shannon divergence in bits between the page and the table, all words outside the table being one."""
    total = sum(counts.values())
    table_rest = 1.0 - sum(table.values())
    page_rest, unseen, result = 1.0, 1.0 - table_rest, 0.0
    for word, expected in table.items():  # in the table's order: sums of floats depend on it
        if word in counts:
            share = counts[word] / total
            result += _term(share, expected)
            page_rest -= share
            unseen -= expected
    rest = _term(max(0.0, page_rest), max(0.0, table_rest))
    return min(1.0, max(0.0, result + rest + unseen / 2))  # a word that the page lacks adds half its share


def _term(p: float, q: float) -> float:
    middle = (p + q) / 2
    return (p * log2(p / middle) if p else 0.0) / 2 + (q * log2(q / middle) if q else 0.0) / 2
