"""Which setting limits which measurement: by name (`max_word_length` limits `word_length`), for `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from pipeline.documents import Document


@dataclass(frozen=True, slots=True)
class Measure:
    """A measurement beside the limits that it is held against."""

    name: str
    value: float
    low: float | None = None  # must not be below
    high: float | None = None  # must not be above

    @property
    def margin(self) -> float | None:
        """Distance to the nearer limit; negative where it is broken."""
        distances = [self.value - self.low] if self.low is not None else []
        distances += [self.high - self.value] if self.high is not None else []
        return min(distances, default=None)


def measures(stage: str, signals: Mapping[str, float], document: Document, settings: BaseModel) -> tuple[Measure, ...]:
    """Every measurement of a stage, those with a limit first, the tightest at the top."""
    values = dict(signals)
    if stage == "identify_language":
        values["score"] = document.language_score
    if stage == "score_quality":
        values["score"] = document.quality_score
    limits = dict(_limits(settings))
    found = [
        Measure(name, value, limits.get(f"min_{name}"), limits.get(f"max_{name}")) for name, value in values.items()
    ]
    return tuple(sorted(found, key=lambda item: (item.margin is None, _relative(item))))


def _relative(item: Measure) -> float:
    """The margin as a share of its limit, so that words and ratios can be ranked together."""
    if item.margin is None:
        return 0.0
    limit = item.low if item.low is not None and item.value - item.low == item.margin else item.high
    return item.margin / abs(limit) if limit else item.margin


def _limits(settings: BaseModel) -> Iterator[tuple[str, float]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _limits(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)
