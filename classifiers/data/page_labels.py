"""Labels of real pages, given by reading: education value, quality, topic and kind. RUBRIC.md beside it says how.

`page_labels.csv` holds ids (SHA-1 of the captured bytes) and labels, no text. Where two readings of topic or kind
differ, a third reader, who saw both answers in random order and no model's, settled the label. A third of the pages,
chosen by registered domain before any model saw the labels, is the test split: nothing is trained on it, and nothing
chosen on it but the share of words that get a topic (`train_domain.ANSWERED_WORDS`).
`text_labels.csv` has topic and kind of Wikipedia articles and of front pages of sites, which only train.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from classifiers.data.page_text import TextRow
from classifiers.data.sampling import Split, split_of
from classifiers.domain_labels import KINDS, TOPICS

PAGE_LABELS = Path(__file__).parent / "page_labels.csv"
TEXT_LABELS = Path(__file__).parent / "text_labels.csv"
DOMAIN_LABELS = {"topic": TOPICS, "kind": KINDS}
HIGHEST = {"education": 5, "quality": 2}
NONE = "none"  # a second or third reader's answer that a page has no label


@dataclass(frozen=True, slots=True)
class PageLabel:
    """One page's labels."""

    split: Split  # TEST or TRAIN; part of the training pages may validate
    scores: Mapping[str, int]  # of HIGHEST
    domains: Mapping[str, str]  # of DOMAIN_LABELS, settled where two readings differ
    first: Mapping[str, str]  # labels of the first reading, as written
    second: Mapping[str, str]  # of the second reading, of the pages that have one


def read_page_labels(path: Path = PAGE_LABELS) -> dict[str, PageLabel]:
    """id -> labels. Raises ValueError for a label that does not exist."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: _read_row(row, path) for row in csv.DictReader(file)}


def _read_row(row: Mapping[str, str], path: Path) -> PageLabel:
    for reading in ("", "second_", "settled_"):
        _check_domains(row, path, reading)
    for name, highest in HIGHEST.items():
        if row.get(name) and row[name] not in map(str, range(highest + 1)):
            raise ValueError(f"{path}: {row['id']} has the {name} {row[name]!r}, which is not 0 to {highest}")
    domains = {head: row.get(f"settled_{head}") or row[head] for head in DOMAIN_LABELS}
    names = (*HIGHEST, *DOMAIN_LABELS)
    return PageLabel(
        split=Split(row["split"]),
        scores={name: int(row[name]) for name in HIGHEST if row.get(name)},
        domains={head: label for head, label in domains.items() if label not in ("", NONE)},
        first={name: row[name] for name in names if row.get(name)},
        second={name: row[f"second_{name}"] for name in names if row.get(f"second_{name}")},
    )


def check_splits(pages: Iterable[TextRow], labels: Mapping[str, PageLabel]) -> None:
    """Raises ValueError for a labeled page whose split is not that of its domain: it would train on a locked domain."""
    for page in pages:
        if page.id in labels and (labels[page.id].split == Split.TEST) != (split_of(page.group) == Split.TEST):
            raise ValueError(f"{page.id} is labeled as {labels[page.id].split}, which is not the split of {page.group}")


def read_text_labels(path: Path = TEXT_LABELS) -> dict[str, dict[str, str]]:
    """Head (topic, kind) -> id -> label of the articles and sites that have one.

    Raises ValueError for a label that does not exist.
    """
    found: dict[str, dict[str, str]] = {head: {} for head in DOMAIN_LABELS}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            _check_domains(row, path)
            for head in DOMAIN_LABELS:
                if row[head]:
                    found[head][row["id"]] = row[head]
    return found


def _check_domains(row: Mapping[str, str], path: Path, reading: str = "") -> None:
    for head, labels in DOMAIN_LABELS.items():
        label = row.get(f"{reading}{head}")
        if label and label not in labels and not (reading and label == NONE):
            raise ValueError(
                f"{path}: {row['id']} has the {reading}{head} {label!r}, which is none of {', '.join(labels)}"
            )
