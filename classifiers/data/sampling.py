"""Choose the rows that a model is trained on: by hash of the id, matched in length, split by registered domain.

This avoids errors of RedPajama-v1's recipe: negatives are a random sample (not the first rows of each shard), both
classes have the same minimum length, and the class ratio counts the rows taken, not the rows skipped.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from classifiers.data.page_text import TextRow


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


VALIDATION_SHARE = 0.15
TEST_SHARE = 1 / 3  # measures only
FOLDS = 4  # of the cross-validation of page scorers


@dataclass(frozen=True, slots=True)
class Example:
    """A row with its label and split."""

    row: TextRow
    label: str
    split: Split
    group: str  # in one fold only: the registered domain, or the row's id where it has no URL
    match: str = ""  # of a cited document: "exact" (the page is cited) or, weaker, "host" (its host is)


def unit_hash(*parts: str) -> float:
    """A number in [0, 1) that depends only on the strings: equal on every machine and in every order of rows."""
    return int.from_bytes(sha256("\x00".join(parts).encode()).digest()[:8], "big") / 2**64


def split_of(registered_domain: str) -> Split:
    """The split of all pages of a registered domain; it does not depend on the other data."""
    place = unit_hash("split", registered_domain)
    if place < TEST_SHARE:
        return Split.TEST
    return Split.VALIDATION if place < TEST_SHARE + VALIDATION_SHARE else Split.TRAIN


def fold_of(group: str) -> int:
    """The fold of all rows of a group: a registered domain, or the id of a row without a URL."""
    return int(FOLDS * unit_hash("fold", group))


def sample_order(rows: Iterable[TextRow]) -> list[TextRow]:
    """Rows in the order of their hashed ids: every prefix is a uniform sample."""
    return sorted(rows, key=lambda row: (unit_hash("sample", row.id), row.id))


class HashSample:
    """About `limit` of the rows added, by hash of their id, in bounded memory: the share halves when it holds too many.

    Without a limit it holds all of them.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit, self.share = limit, 1.0
        self.kept: dict[str, tuple[float, TextRow]] = {}

    def add(self, row: TextRow) -> None:
        place = unit_hash("sample", row.id)
        if place < self.share:
            self.kept[row.id] = (place, row)
        if self.limit is not None and len(self.kept) > 2 * self.limit:
            self.share /= 2
            self.kept = {identity: pair for identity, pair in self.kept.items() if pair[0] < self.share}

    def rows(self) -> list[TextRow]:
        """In the order of `sample_order`."""
        return [row for _, row in sorted(self.kept.values(), key=lambda pair: (pair[0], pair[1].id))]


def at_most_per_domain(rows: Iterable[TextRow], limit: int) -> Iterator[TextRow]:
    """The first `limit` rows of each registered domain, so that no site dominates."""
    seen: Counter[str] = Counter()
    for row in rows:
        seen[row.registered_domain] += 1
        if seen[row.registered_domain] <= limit:
            yield row


def length_bin(text: str) -> int:
    """Number of the bin of the text's length in characters; bins are half octaves (200-282, 283-399, 400-565, ...)."""
    return math.floor(2 * math.log2(max(len(text), 1)))


def match_lengths(
    positives: Sequence[TextRow], negatives: Sequence[TextRow], ratio: float = 1.0
) -> tuple[list[TextRow], list[TextRow]]:
    """The largest prefixes per length bin with at most `ratio` rows of one class for a row of the other.

    With `ratio` 1 the classes have the same histogram, so length alone does not separate them.
    """
    bins: dict[int, tuple[list[TextRow], list[TextRow]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((positives, negatives)):
        for row in rows:
            bins[length_bin(row.text)][side].append(row)
    chosen: tuple[list[TextRow], list[TextRow]] = ([], [])
    for _, (left, right) in sorted(bins.items()):
        limit = math.floor(ratio * min(len(left), len(right)))
        chosen[0].extend(left[:limit])
        chosen[1].extend(right[:limit])
    return chosen


def digest_of_examples(examples: Iterable[Example]) -> str:
    """SHA-256 over ids and labels in order: identifies a data set without its text."""
    digest = sha256()
    for example in examples:
        digest.update(f"{example.row.id}\t{example.label}\t{example.split}\n".encode())
    return digest.hexdigest()
