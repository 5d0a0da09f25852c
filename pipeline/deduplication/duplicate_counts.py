"""The numbers that deduplication reports: added up over units, stored as JSON, checked against the limits."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.errors import RunFailedError
from pipeline.storage import join
from pipeline.storage.layout import read_record, write_json

log = logging.getLogger(__name__)

LARGEST_GROUPS = 10
COUNTS_FILE = "counts.json"  # in the folder of the verdicts; written last: where it is, they are complete


class TooMuchLostError(RunFailedError):
    """Deduplication would drop more than `max_loss` allows."""


@dataclass(frozen=True, slots=True)
class DuplicateCounts:
    """Numbers of one unit, or of several together."""

    documents: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # by reason
    lines_removed: int = 0
    words_removed: int = 0
    full_buckets: int = 0  # documents that met a bucket at its limit
    groups: list[tuple[int, str]] = field(default_factory=list)  # the largest: number of duplicates, id of the survivor

    @property
    def lost(self) -> int:
        """Documents dropped as duplicates within this run."""
        return self.documents - self.kept - self.dropped.get(DuplicateReason.ALREADY_PUBLISHED, 0)

    @property
    def share_lost(self) -> float:
        return self.lost / self.documents if self.documents else 0.0

    def plus(self, other: DuplicateCounts) -> DuplicateCounts:
        reasons = Counter(self.dropped) + Counter(other.dropped)
        return DuplicateCounts(
            self.documents + other.documents,
            self.kept + other.kept,
            {reason: reasons[reason] for reason in DuplicateReason if reason in reasons},
            self.lines_removed + other.lines_removed,
            self.words_removed + other.words_removed,
            self.full_buckets + other.full_buckets,
            largest_groups([*self.groups, *other.groups]),
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "dropped": {str(reason): n for reason, n in self.dropped.items()}}


def largest_groups(groups: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return sorted(groups, key=lambda group: (-group[0], group[1]))[:LARGEST_GROUPS]


def write_counts(folder: str, counts: Sequence[DuplicateCounts]) -> None:
    """The sum over all units, as one JSON file."""
    total = reduce(DuplicateCounts.plus, counts, DuplicateCounts())
    write_json(join(folder, COUNTS_FILE), total.to_json())


def read_counts(folder: str) -> DuplicateCounts:
    """What `write_counts` wrote."""
    return read_record(join(folder, COUNTS_FILE), DuplicateCounts, {})


def summarize(counts: DuplicateCounts, settings: DeduplicateSettings) -> dict[str, Any]:
    """The counts with warnings, for the report. Raises `TooMuchLostError` above `max_loss`."""
    if counts.share_lost > settings.max_loss:
        raise TooMuchLostError(
            f"deduplicate would drop {counts.lost:,} of {counts.documents:,} documents ({counts.share_lost:.1%}; "
            f"{counts.dropped}). Look at the largest groups {counts.groups[:3]}; "
            f"if that is right, raise deduplicate.max_loss (now {settings.max_loss})"
        )
    warnings = list_warnings(counts, settings)
    for warning in warnings:
        log.warning("deduplicate: %s", warning)
    return {**counts.to_json(), "share_lost": round(counts.share_lost, 6), "warnings": warnings}


def list_warnings(counts: DuplicateCounts, settings: DeduplicateSettings) -> list[str]:
    """One line for each limit that is exceeded, with the setting in parentheses."""
    warnings = []
    if counts.share_lost > settings.warn_loss:
        warnings.append(f"{counts.share_lost:.1%} of all documents are duplicates of others (deduplicate.warn_loss)")
    if counts.groups and counts.groups[0][0] >= settings.warn_group:
        size, survivor = counts.groups[0]
        warnings.append(f"document {survivor} represents {size:,} duplicates (deduplicate.warn_group)")
    if counts.full_buckets:
        warnings.append(
            f"{counts.full_buckets:,} documents were not compared with every document of their buckets "
            "(deduplicate.bucket_limit)"
        )
    return warnings
