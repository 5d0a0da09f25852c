"""Measurements of a page beside the settings that limit them, for `gristmill explain`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.documents import Document
from pipeline.stages import filter_heuristics

# stage -> signal -> (setting of its lower limit, setting of its upper limit)
_LIMITS: Mapping[str, Mapping[str, tuple[str | None, str | None]]] = {
    "extract_text": {
        "html_bytes": (None, "max_bytes"),
        "dom_nodes": (None, "max_nodes"),
        "text_characters": ("min_characters", None),
    },
    "identify_language": {"score": ("min_score", None)},
    "scrub_pii": {"pii_finds": (None, "max_finds"), "pii_per_1000_words": (None, "max_finds_per_1000_words")},
    "score_quality": {"score": ("min_score", None), "education": ("min_education", None)},
    "tag_domain": {"harm_score": (None, "max_harm")},
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """A value and its limits."""

    name: str
    value: float
    low: float | None = None  # lower limit
    high: float | None = None  # upper limit

    @property
    def margin(self) -> float | None:
        """Distance to the nearer limit; negative when it is exceeded."""
        distances = [self.value - self.low] if self.low is not None else []
        distances += [self.high - self.value] if self.high is not None else []
        return min(distances, default=None)


def list_measurements(
    stage: str, signals: Mapping[str, float], document: Document, settings: Any
) -> tuple[Measurement, ...]:
    """Every measurement of a stage; those with a limit first, by relative margin."""
    scores = {
        "identify_language": {"score": document.language_score},
        "score_quality": {"score": document.quality_score, "education": document.education_score},
    }
    values = {**signals, **scores.get(stage, {})}
    limits = _heuristic_limits(settings) if stage == filter_heuristics.NAME else _named_limits(stage, settings)
    found = [Measurement(name, value, *limits.get(name, (None, None))) for name, value in values.items()]
    return tuple(sorted(found, key=lambda item: (item.margin is None, _relative_margin(item))))


def _named_limits(stage: str, settings: Any) -> dict[str, tuple[float | None, float | None]]:
    def value(name: str | None) -> float | None:
        return getattr(settings, name) if name else None

    return {signal: (value(low), value(high)) for signal, (low, high) in _LIMITS.get(stage, {}).items()}


def _heuristic_limits(settings: Any) -> dict[str, tuple[float | None, float | None]]:
    limits: dict[str, list[float | None]] = defaultdict(lambda: [None, None])
    for family, rules in filter_heuristics.FAMILIES.items():
        for rule in rules:
            limits[rule.signal][0 if rule.at_least else 1] = getattr(getattr(settings, family), rule.setting)
    return {signal: (low, high) for signal, (low, high) in limits.items()}


def _relative_margin(item: Measurement) -> float:
    """The margin as a share of the limit, which ranks counts and ratios together."""
    if item.margin is None:
        return 0.0
    limit = item.low if item.low is not None and item.value - item.low == item.margin else item.high
    return item.margin / abs(limit) if limit else item.margin
