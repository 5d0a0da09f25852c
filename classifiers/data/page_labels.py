"""Labels of real pages, given by reading: education value, quality, topic and kind. RUBRIC.md beside it says how.

`page_labels.csv` holds ids (SHA-1 of the captured bytes) and labels, no text. A third of the pages, chosen by
registered domain before any model saw the labels, is the test split: nothing is trained or chosen on it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from classifiers.data.sampling import Split
from classifiers.domain_labels import KINDS, TOPICS

PAGE_LABELS = Path(__file__).parent / "page_labels.csv"
DOMAIN_LABELS = {"topic": TOPICS, "kind": KINDS}
HIGHEST = {"education": 5, "quality": 2}


@dataclass(frozen=True, slots=True)
class PageLabel:
    """One page's labels; None or "" where none was given."""

    split: Split  # TEST or TRAIN; part of the training pages may validate
    scores: Mapping[str, int]  # of HIGHEST
    domains: Mapping[str, str]  # of DOMAIN_LABELS
    second: Mapping[str, str]  # labels of a second reading, as written


def read_page_labels(path: Path = PAGE_LABELS) -> dict[str, PageLabel]:
    """id -> labels. Raises ValueError for a label that does not exist."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: _read_row(row, path) for row in csv.DictReader(file)}


def _read_row(row: Mapping[str, str], path: Path) -> PageLabel:
    for head, labels in DOMAIN_LABELS.items():
        if row[head] and row[head] not in labels:
            raise ValueError(f"{path}: {row['id']} has the {head} {row[head]!r}, which is none of {', '.join(labels)}")
    for name, highest in HIGHEST.items():
        if row.get(name) and row[name] not in map(str, range(highest + 1)):
            raise ValueError(f"{path}: {row['id']} has the {name} {row[name]!r}, which is not 0 to {highest}")
    return PageLabel(
        split=Split(row["split"]),
        scores={name: int(row[name]) for name in HIGHEST if row.get(name)},
        domains={head: row[head] for head in DOMAIN_LABELS if row[head]},
        second={name: row[f"second_{name}"] for name in (*HIGHEST, *DOMAIN_LABELS) if row.get(f"second_{name}")},
    )
