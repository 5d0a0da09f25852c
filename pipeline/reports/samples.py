"""Samples for report.html: kept and dropped pages, duplicates side by side, replaced personal data.

They are read from at most `PARTS` evenly spaced parts of shards/ and of drops/. Of each group the rows with the
smallest ids are shown: ids are digests, so this is a random sample, and a rebuilt report shows the same rows.
"""

from __future__ import annotations

import difflib
import heapq
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import storage
from pipeline.deduplication.settings import DuplicateReason
from pipeline.pii.spans import PLACEHOLDERS
from pipeline.storage.layout import Layout
from pipeline.storage.own_files import is_part

PARTS = 6  # of shards/ and of drops/ that are read
SAMPLES = 5  # pages of each drop reason
PLACEHOLDERS_SHOWN = 3  # of each kind
EXCERPT = 420  # characters shown of a page
_PLACEHOLDER = re.compile("|".join(map(re.escape, sorted(PLACEHOLDERS, key=len, reverse=True))))
_WORDS = re.compile(r"\S+|\s+")
_DROP_COLUMNS = [
    "id", "url", "stage", "reason", "value", "threshold", "detail", "duplicate_of", "language", "excerpt",
]  # fmt: skip
_KEPT_COLUMNS = [
    "id", "url", "title", "text", "language", "quality_score", "education_score", "domain", "words", "duplicates",
    "weight",
]  # fmt: skip


@dataclass(slots=True)
class Samples:
    """The samples, by section of the report."""

    rows: int = 0  # read
    total: int = 0  # published
    drops: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)  # (stage, reason) -> pages
    kept: list[dict[str, Any]] = field(default_factory=list)  # at most two of each domain
    lowest_quality: list[dict[str, Any]] = field(default_factory=list)  # kept
    duplicates: list[dict[str, Any]] = field(default_factory=list)  # dropped, beside their survivors
    placeholders: dict[str, list[tuple[str, str, str]]] = field(
        default_factory=dict
    )  # kind -> (text before, placeholder, text after)


class _Smallest:
    """The `limit` rows with the smallest keys of each group."""

    def __init__(self, limit: int) -> None:
        self._limit, self._offered = limit, 0
        self._heaps: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)

    def offer(self, group: Any, key: Any, row: Mapping[str, Any]) -> None:
        # The largest key is on top of the heap; a running number decides ties, because rows cannot be compared.
        self._offered += 1
        heap, item = self._heaps[group], (_Reversed(key), -self._offered, row)
        if len(heap) < self._limit:
            heapq.heappush(heap, item)
        elif heap[0][0] < item[0]:
            heapq.heapreplace(heap, item)

    def groups(self) -> dict[Any, list[dict[str, Any]]]:
        return {group: [dict(item[2]) for item in sorted(heap, reverse=True)] for group, heap in self._heaps.items()}


@dataclass(frozen=True, slots=True)
class _Reversed:
    key: Any

    def __lt__(self, other: _Reversed) -> bool:
        return bool(self.key > other.key)


def collect_samples(layout: Layout, pages: int) -> Samples:
    """Samples of a finished output of `pages` pages: of drops first, then of the survivors that these name."""
    samples = Samples(total=pages)
    duplicates = _sample_drops(layout, samples)
    survivors = _sample_kept(layout, samples, {row["duplicate_of"] for row in duplicates})
    for row in duplicates:
        survivor = survivors.get(row["duplicate_of"])
        if survivor is not None:
            samples.duplicates.append(_compare_texts(row, survivor))
    return samples


def _sample_drops(layout: Layout, samples: Samples) -> list[dict[str, Any]]:
    """Fills `samples.drops`; returns the duplicates to show beside their survivors."""
    found = _Smallest(SAMPLES)
    for row in _read_parts(layout, "drops", _DROP_COLUMNS, samples):
        found.offer((row["stage"], row["reason"]), row["id"], row)
    samples.drops = {
        group: [{**row, "excerpt": shorten(row["excerpt"])} for row in rows] for group, rows in found.groups().items()
    }
    return [
        row
        for (_, reason), rows in sorted(found.groups().items())
        for row in rows[: SAMPLES if reason == DuplicateReason.NEAR_DUPLICATE else 2]
        if row["duplicate_of"]
    ]


def _sample_kept(layout: Layout, samples: Samples, wanted: set[str]) -> dict[str, dict[str, Any]]:
    """Fills the samples of kept documents; returns the wanted documents by id."""
    by_domain, lowest = _Smallest(2), _Smallest(SAMPLES)
    survivors = {}
    for row in _read_parts(layout, "shards", _KEPT_COLUMNS, samples):
        _add_placeholders(row["text"], samples)
        short = {**row, "text": shorten(row["text"])}
        by_domain.offer(row["domain"], row["id"], short)
        lowest.offer("", (row["quality_score"], row["id"]), short)
        if row["id"] in wanted:
            survivors[row["id"]] = row
    samples.kept = [row for _, rows in sorted(by_domain.groups().items()) for row in rows]
    samples.lowest_quality = lowest.groups().get("", [])
    return survivors


def _read_parts(layout: Layout, kind: str, columns: Sequence[str], samples: Samples) -> Iterator[dict[str, Any]]:
    paths = [path for path in storage.list_files(storage.join(layout.root, kind)) if is_part(path)]
    for path in _choose_evenly(paths, PARTS):  # not all parts: each takes a few requests on an object store
        with storage.read_parquet(path) as parquet:
            samples.rows += parquet.metadata.num_rows
            for batch in parquet.iter_batches(batch_size=1024, columns=list(columns)):
                yield from batch.to_pylist()


def _choose_evenly(items: Sequence[str], limit: int) -> list[str]:
    """At most `limit` items at equal distances, beginning with the first."""
    step = max(len(items) / limit, 1.0)
    return [items[int(n * step)] for n in range(min(limit, len(items)))]


def _add_placeholders(text: str, samples: Samples) -> None:
    for match in _PLACEHOLDER.finditer(text):
        shown = samples.placeholders.setdefault(match[0][1:-1].partition("_")[0], [])
        if len(shown) < PLACEHOLDERS_SHOWN:
            start, end = match.span()
            shown.append((_on_one_line(text[max(start - 60, 0) : start]), match[0], _on_one_line(text[end : end + 60])))


def _on_one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def shorten(text: str | None, limit: int = EXCERPT) -> str:
    """The beginning of a text, cut between words; an ellipsis shows the cut."""
    text = text or ""
    if len(text) <= limit:
        return text
    head = text[:limit]
    cut = head.rfind(" ", limit // 2)
    return (head[:cut] if cut > 0 else head).rstrip() + " …"


def _compare_texts(row: Mapping[str, Any], survivor: Mapping[str, Any]) -> dict[str, Any]:
    left, right = shorten(row["excerpt"]), shorten(survivor["text"])
    ours, theirs = mark_differences(left, right)
    return {
        "reason": row["reason"],
        "value": row["value"],
        "threshold": row["threshold"],
        "url": row["url"],
        "survivor_url": survivor["url"],
        "left": ours,
        "right": theirs,
    }


Piece = tuple[str, bool]  # text, whether only one of the two texts has it


def mark_differences(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces; words that only one of them has are marked True.

    >>> mark_differences("one two", "one six")
    ([('one ', False), ('two', True)], [('one ', False), ('six', True)])
    """
    a, b = _WORDS.findall(left), _WORDS.findall(right)
    ours: list[Piece] = []
    theirs: list[Piece] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        differs = tag != "equal"
        ours += [("".join(a[i1:i2]), differs)] if i1 < i2 else []
        theirs += [("".join(b[j1:j2]), differs)] if j1 < j2 else []
    return ours, theirs


def changed_settings(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    """(table.key, value, default) of every setting that differs from its default."""
    for key in config:
        ours, theirs = config[key], defaults.get(key)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping) and key != "shares":
            for path, value, default in changed_settings(ours, theirs):
                yield f"{key}.{path}", value, default
        elif ours != theirs:
            yield key, ours, theirs
