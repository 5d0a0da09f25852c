"""Weights: how often a pass over the mixture should repeat each document.

    weight = c * (asked share of its domain / realized share) * quality factor,  at most `max_repetition`

Shares are of words. The quality factor is normalized inside a domain, so quality never moves a domain's share. `c`
makes the pass as long as the dataset (sum of weight * words = sum of words) as far as the cap allows. A weight depends
only on (domain, quality score in hundredths), so the table is small, exact, and computed from counts, not documents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field, field_validator

from pipeline.settings import Settings as BaseSettings

# Topic shares of the web part of OLMo 3 32B's mid-training mixture, in per cent, computed from its published
# configuration, under the labels of classifiers/models/domain.
OLMO3_TOPIC_SHARES: Mapping[str, float] = {
    "science_and_math": 21.0, "software": 11.2, "health": 10.0, "entertainment": 9.6, "games": 6.9,
    "literature": 6.8, "software_development": 4.7, "education_and_jobs": 4.3, "finance_and_business": 4.1,
    "electronics_and_hardware": 3.5, "crime_and_law": 2.9, "history_and_geography": 2.7, "politics": 2.2,
    "religion": 2.0, "industrial": 1.6, "food_and_dining": 1.4, "sports_and_fitness": 1.3, "art_and_design": 1.3,
    "transportation": 1.0,
    "home_and_hobbies": 0.9, "social_life": 0.5, "travel_and_tourism": 0.2, "adult": 0.1, "fashion_and_beauty": 0.01,
}  # fmt: skip

QUALITY_STEPS = 100  # quality scores are weighed in hundredths


class Settings(BaseSettings):
    """The mixture that is asked for."""

    shares: Mapping[str, float] = Field(
        OLMO3_TOPIC_SHARES,
        description="asked shares by domain, in any unit; a domain that is not named keeps the share that it has",
    )
    max_repetition: float = Field(4.0, gt=0, description="cap; beyond about 4 epochs repeats teach little")
    min_repetition: float = Field(0.1, ge=0, description="floor, so that no domain vanishes by its weight alone")
    quality_low: float = Field(0.5, gt=0, description="quality factor at score 0 ...")
    quality_high: float = Field(1.5, gt=0, description="... and at score 1, linear between, before normalizing")

    @field_validator("shares")
    @classmethod
    def _usable(cls, shares: Mapping[str, float]) -> Mapping[str, float]:
        if any(share < 0 for share in shares.values()):
            raise ValueError("shares must not be negative")
        return shares

    def quality_factor(self, score: float) -> float:
        """Before normalization inside the domain."""
        return self.quality_low + (self.quality_high - self.quality_low) * score


Cell = tuple[str, int]  # domain, quality score in hundredths


@dataclass(frozen=True, slots=True)
class Mixture:
    """One domain's line of the report; shares are of words, between 0 and 1."""

    domain: str
    documents: int
    words: int
    realized: float  # share before weighing
    asked: float
    weighted: float  # share after weighing, caps included
    repetitions: float  # mean weight over the domain's words
    capped: float  # share of the domain's words whose weight met the cap or the floor


def cell_of(domain: str, quality_score: float) -> Cell:
    """The line of the weight table that a document belongs to."""
    return domain, min(max(round(quality_score * QUALITY_STEPS), 0), QUALITY_STEPS)


def asked_shares(words: Mapping[str, int], settings: Settings) -> dict[str, float]:
    """Shares that sum to 1 over the domains present; unnamed domains keep theirs, named ones divide the rest."""
    total = sum(words.values())
    named = {d: settings.shares[d] for d, n in words.items() if n and settings.shares.get(d, 0) > 0}
    unnamed = {d: n / total for d, n in words.items() if n and d not in settings.shares}
    rest, scale = 1 - sum(unnamed.values()), sum(named.values())
    if not named:  # nothing that was asked for is here: everything keeps its share
        return {d: n / total for d, n in words.items()} if total else {}
    return {d: unnamed.get(d, rest * named[d] / scale if d in named else 0.0) for d in words}


def weight_table(words: Mapping[Cell, int], settings: Settings) -> dict[Cell, float]:
    """Weight of every cell, from the kept words per cell.

    >>> table = weight_table({("a", 50): 300, ("b", 50): 100}, Settings(shares={"a": 1, "b": 1}))
    >>> table["a", 50], table["b", 50]
    (0.666667, 2.0)
    """
    by_domain = _sum_domains(words)
    total = sum(by_domain.values())
    asked = asked_shares(by_domain, settings)
    raw = {}
    for (domain, quality), count in words.items():
        if count:
            normal = _mean_factor(domain, words, settings)
            factor = settings.quality_factor(quality / QUALITY_STEPS) / normal
            raw[domain, quality] = asked[domain] * total / by_domain[domain] * factor
    scale = _scale(raw, words, total, settings)
    return {cell: round(_bounded(scale * value, settings), 6) for cell, value in sorted(raw.items())}


def _sum_domains(words: Mapping[Cell, int]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for (domain, _), count in sorted(words.items()):
        sums[domain] += count
    return dict(sums)


def _mean_factor(domain: str, words: Mapping[Cell, int], settings: Settings) -> float:
    cells = [(quality, count) for (name, quality), count in sorted(words.items()) if name == domain]
    weighed = sum(settings.quality_factor(quality / QUALITY_STEPS) * count for quality, count in cells)
    return weighed / sum(count for _, count in cells)


def _bounded(weight: float, settings: Settings) -> float:
    return 0.0 if weight == 0 else min(max(weight, settings.min_repetition), settings.max_repetition)


def _scale(raw: Mapping[Cell, float], words: Mapping[Cell, int], total: int, settings: Settings) -> float:
    """The factor that makes the bounded weights repeat `total` words, by bisection, as far as the cap allows."""

    def repeated(scale: float) -> float:
        return sum(_bounded(scale * value, settings) * words[cell] for cell, value in sorted(raw.items()))

    low, high = 0.0, 1.0
    while repeated(high) < total and high < 1e9:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if repeated(middle) < total else (low, middle)
    return high


def mixture(words: Mapping[Cell, int], documents: Mapping[str, int], settings: Settings) -> list[Mixture]:
    """Asked against realized, a line per domain, largest realized share first."""
    table = weight_table(words, settings)
    by_domain = _sum_domains(words)
    total = sum(by_domain.values())
    asked = asked_shares(by_domain, settings)
    repeated = _sum_domains({cell: table[cell] * count for cell, count in words.items() if count})  # type: ignore[misc]
    all_repeated = sum(repeated.values())
    bounds = (settings.min_repetition, settings.max_repetition)
    lines = []
    for domain, count in by_domain.items():
        held = sum(n for cell, n in words.items() if n and cell[0] == domain and table[cell] in bounds)
        lines.append(
            Mixture(
                domain=domain,
                documents=documents.get(domain, 0),
                words=count,
                realized=count / total if total else 0.0,
                asked=asked.get(domain, 0.0),
                weighted=repeated.get(domain, 0) / all_repeated if all_repeated else 0.0,
                repetitions=repeated.get(domain, 0) / count if count else 0.0,
                capped=held / count if count else 0.0,
            )
        )
    return sorted(lines, key=lambda line: (-line.realized, line.domain))
