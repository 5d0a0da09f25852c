"""Document weights: how often one pass over the weighted dataset repeats each document.

    weight = c * (target share of its domain / actual share) * quality factor,  at most `max_repetition`

Shares are of words. The quality factor rises with the quality score, with the education score, or with the better of
the two; it is normalized inside a domain, so that quality does not change a domain's share. `c` makes the pass as long
as the dataset (sum of weight * words = sum of words) as far as the cap allows. A weight depends only on (domain,
quality score in hundredths, education score in tenths): the table of weights is small and computed from word counts,
exactly and on every engine alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator

from pipeline.settings import OFF, Settings

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

QUALITY_STEPS = 100  # quality scores, 0 to 1, are rounded to hundredths
EDUCATION_STEPS = 50  # education scores, 0 to 5, are rounded to tenths
HIGHEST_EDUCATION = 5
Score = Literal["quality", "education", "both"]
_BISECTIONS = 100
_Number = TypeVar("_Number", int, float)


class WeightSettings(Settings):
    """Target mixture of domains, and bounds of a document's weight."""

    shares: Mapping[str, float | None] = Field(
        OLMO3_TOPIC_SHARES,
        description="target shares of words by domain, in any unit; those that are given replace single defaults; "
        "a domain whose share is off keeps its own",
    )
    max_repetition: float = Field(
        4.0, gt=0, description="highest weight, in repetitions per pass; beyond about 4 repeats teach little"
    )
    min_repetition: float = Field(
        0.1, ge=0, description="lowest weight, in repetitions per pass; a domain with share 0 gets 0 all the same"
    )
    score: Score = Field(
        "quality",
        description="what raises a document's weight in its domain: its quality score, its education score, or both: "
        "the higher of its two percentiles, by words of the dataset",
    )
    quality_low: float = Field(
        0.5, gt=0, description="relative weight inside a domain at the lowest score; linear up to quality_high"
    )
    quality_high: float = Field(1.5, gt=0, description="relative weight inside a domain at the highest score")

    @field_validator("shares", mode="before")
    @classmethod
    def _change_defaults(cls, shares: Any) -> Any:
        if shares is None:  # off: no domain has a target
            return dict.fromkeys(OLMO3_TOPIC_SHARES)
        if not isinstance(shares, Mapping):
            return shares
        return {**OLMO3_TOPIC_SHARES, **{name: None if share == OFF else share for name, share in shares.items()}}

    @field_validator("shares")
    @classmethod
    def _not_negative(cls, shares: Mapping[str, float | None]) -> Mapping[str, float | None]:
        if any(share is not None and share < 0 for share in shares.values()):
            raise ValueError("shares must not be negative")
        return shares

    def quality_factor(self, score: float) -> float:
        """Relative weight at this score, scaled to 0 to 1, before it is normalized inside the domain."""
        return self.quality_low + (self.quality_high - self.quality_low) * score


Cell = tuple[str, int, int]  # domain, quality score in hundredths, education score in tenths


def cells_to_json(cells: Mapping[Cell, int]) -> list[list[Any]]:
    """[domain, quality, education value, words] of every cell, sorted."""
    return [[*cell, words] for cell, words in sorted(cells.items())]


def removed_words(manifest: Mapping[str, Any]) -> dict[Cell, int]:
    """Words of documents that were removed after the weights had been computed with them."""
    rows = manifest.get("removed_words", ())
    return {(str(domain), int(quality), int(education)): int(words) for domain, quality, education, words in rows}


@dataclass(frozen=True, slots=True)
class DomainShare:
    """One domain in the report's table of the mixture. Shares are of words, between 0 and 1."""

    domain: str
    documents: int
    words: int
    actual: float  # share without weights
    target: float
    weighted: float  # share with weights, bounds included
    repetitions: float  # mean weight of the domain's words
    capped: float  # share of the domain's words whose weight is the highest or lowest allowed


def cell_of(row: Mapping[str, Any]) -> Cell:
    """The key of a document in the weight table."""
    education = row["education_score"] / HIGHEST_EDUCATION
    return row["domain"], _step(row["quality_score"], QUALITY_STEPS), _step(education, EDUCATION_STEPS)


def _step(score: float, steps: int) -> int:
    return min(max(round(score * steps), 0), steps)


def target_shares(words: Mapping[str, int], settings: WeightSettings) -> dict[str, float]:
    """Shares that sum to 1 over the domains present: unnamed domains keep theirs, named ones divide the rest."""
    total = sum(words.values())
    shares = {domain: share for domain, share in settings.shares.items() if share is not None}
    named = {d: shares[d] for d, n in words.items() if n and shares.get(d, 0) > 0}
    unnamed = {d: n / total for d, n in words.items() if n and d not in shares}
    rest, scale = 1 - sum(unnamed.values()), sum(named.values())
    if not named:  # none of the named domains is present: every domain keeps its share
        return {d: n / total for d, n in words.items()} if total else {}
    return {d: unnamed.get(d, rest * named[d] / scale if d in named else 0.0) for d in words}


def weight_table(words: Mapping[Cell, int], settings: WeightSettings) -> dict[Cell, float]:
    """The weight of every cell, from the kept words per cell.

    >>> table = weight_table({("a", 50, 9): 300, ("b", 50, 9): 100}, WeightSettings(shares={"a": 1, "b": 1}))
    >>> table["a", 50, 9], table["b", 50, 9]
    (0.666667, 2.0)
    """
    present = {cell: count for cell, count in sorted(words.items()) if count}
    by_domain = _sum_by_domain(present)
    total = sum(by_domain.values())
    target = target_shares(by_domain, settings)
    factors = {cell: settings.quality_factor(score) for cell, score in _scores(present, settings.score).items()}
    mean_factor = _means_by_domain(factors, present)
    unscaled = {
        cell: target[cell[0]] * total / by_domain[cell[0]] * factor / mean_factor[cell[0]]
        for cell, factor in factors.items()
    }
    scale = _find_scale(unscaled, present, total, settings)
    return {cell: round(_bound(scale * value, settings), 6) for cell, value in unscaled.items()}


def _sum_by_domain(values: Mapping[Cell, _Number]) -> dict[str, _Number]:
    sums: dict[str, _Number] = {}
    for (domain, *_), value in sorted(values.items()):
        sums[domain] = sums.get(domain, 0) + value
    return sums


def _scores(words: Mapping[Cell, int], score: Score) -> dict[Cell, float]:
    """The score of every cell that decides its quality factor, from 0 to 1."""
    if score == "quality":
        return {cell: cell[1] / QUALITY_STEPS for cell in words}
    if score == "education":
        return {cell: cell[2] / EDUCATION_STEPS for cell in words}
    quality, education = _percentiles(words, 1), _percentiles(words, 2)
    return {cell: max(quality[cell[1]], education[cell[2]]) for cell in words}


def _percentiles(words: Mapping[Cell, int], place: int) -> dict[int, float]:
    """Score (of `place` in the cells) -> share of the words below it, half of those at it included."""
    at: dict[int, int] = {}
    for cell, count in words.items():
        at[int(cell[place])] = at.get(int(cell[place]), 0) + count
    total, below, found = sum(at.values()), 0, {}
    for score, count in sorted(at.items()):
        found[score] = (2 * below + count) / (2 * total)
        below += count
    return found


def _means_by_domain(values: Mapping[Cell, float], words: Mapping[Cell, int]) -> dict[str, float]:
    """Mean value of each domain's words."""
    counts = _sum_by_domain(words)
    sums = _sum_by_domain({cell: value * words[cell] for cell, value in values.items()})
    return {domain: total / counts[domain] for domain, total in sums.items()}


def _bound(weight: float, settings: WeightSettings) -> float:
    return 0.0 if weight == 0 else min(max(weight, settings.min_repetition), settings.max_repetition)


def _find_scale(
    unscaled: Mapping[Cell, float], words: Mapping[Cell, int], total: int, settings: WeightSettings
) -> float:
    """The factor at which the bounded weights give a pass of `total` words, by bisection, as far as the cap allows."""

    def words_in_a_pass(scale: float) -> float:
        return sum(_bound(scale * value, settings) * words[cell] for cell, value in unscaled.items())

    low, high = 0.0, 1.0
    while words_in_a_pass(high) < total and high < 1e9:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if words_in_a_pass(middle) < total else (low, middle)
    return high


def compare_shares(
    words: Mapping[Cell, int],
    documents: Mapping[str, int],
    settings: WeightSettings,
    removed: Mapping[Cell, int] | None = None,
) -> list[DomainShare]:
    """Actual, target and weighted share of every domain, largest actual share first.

    `removed`: words that the weights were computed with, too, and that are gone since.
    """
    known = {cell: words.get(cell, 0) + (removed or {}).get(cell, 0) for cell in {*words, *(removed or {})}}
    table = {cell: weight for cell, weight in weight_table(known, settings).items() if words.get(cell)}
    by_domain = _sum_by_domain(words)
    total = sum(by_domain.values())
    target = target_shares(by_domain, settings)
    repeated = _sum_by_domain({cell: weight * words[cell] for cell, weight in table.items()})
    all_repeated = sum(repeated.values())
    bounds = (settings.min_repetition, settings.max_repetition)
    capped = _sum_by_domain({cell: words[cell] for cell, weight in table.items() if weight in bounds})
    shares = [
        DomainShare(
            domain=domain,
            documents=documents.get(domain, 0),
            words=count,
            actual=count / total if total else 0.0,
            target=target.get(domain, 0.0),
            weighted=repeated.get(domain, 0) / all_repeated if all_repeated else 0.0,
            repetitions=repeated.get(domain, 0) / count if count else 0.0,
            capped=capped.get(domain, 0) / count if count else 0.0,
        )
        for domain, count in by_domain.items()
    ]
    return sorted(shares, key=lambda share: (-share.actual, share.domain))
