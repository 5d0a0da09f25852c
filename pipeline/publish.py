"""Phase 3: staged documents + verdicts + weights -> shards, drops and sketches, one part at a time.

A part covers a run of consecutive units, about `shard_bytes` of text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.deduplication.sketch import PUBLISHED_SKETCH, remove_lines
from pipeline.deduplication.verdicts import Verdict, read_verdicts
from pipeline.publishing.part_writer import PartWriter
from pipeline.publishing.schema import DROP, SHARD
from pipeline.publishing.statistics import Statistics
from pipeline.publishing.weights import Cell, cell_of
from pipeline.stages import scrub_pii
from pipeline.storage.layout import Layout
from pipeline.text import count_words, cut_excerpt

RESCANNED = 2_000  # published texts of each part that are scanned for personal data once more; `audit` scans them all


@dataclass(frozen=True, slots=True)
class Part:
    """The units whose documents share one shard, one drops file and one sketches file."""

    number: int
    units: tuple[str, ...]  # unit keys, in order


def plan_parts(characters: Mapping[str, int], shard_bytes: int) -> list[Part]:
    """Consecutive units up to `shard_bytes` of text; from the data alone, so the same on every machine.

    >>> [part.units for part in plan_parts({"a": 60, "b": 60, "c": 10}, 100)]
    [('a', 'b'), ('c',)]
    """
    parts: list[Part] = []
    units: list[str] = []
    size = 0
    for key in sorted(characters):
        units.append(key)
        size += characters[key]
        if size >= shard_bytes:
            parts.append(Part(len(parts), tuple(units)))
            units, size = [], 0
    if units or not parts:
        parts.append(Part(len(parts), tuple(units)))
    return parts


def measure_unit(key: str, layout: Layout, verdicts: str) -> dict[str, Any]:
    """{"words": [[domain, quality, words], ...], "documents": {domain: n}} of what will be published of one unit."""
    words: Counter[Cell] = Counter()
    documents: Counter[str] = Counter()
    for row, verdict in _judged(key, layout, verdicts):
        if verdict.kept:
            count = count_words(remove_lines(row["text"], verdict.remove)) if verdict.remove else row["words"]
            words[cell_of(row["domain"], row["quality_score"])] += count
            documents[row["domain"]] += 1
    return {"words": [[*cell, n] for cell, n in sorted(words.items())], "documents": dict(sorted(documents.items()))}


def _judged(key: str, layout: Layout, verdicts: str) -> Iterator[tuple[dict[str, Any], Verdict]]:
    """Every staged row of a unit with its verdict."""
    rows = storage.read_rows(layout.unit("staged", key))
    yield from zip(rows, read_verdicts(storage.join(verdicts, f"{key}.parquet")), strict=True)


def kept_row(row: Mapping[str, Any], verdict: Verdict, weights: Mapping[Cell, float]) -> dict[str, Any]:
    """A staged row as it is published: repeated paragraphs removed, weight and duplicate count added."""
    text = remove_lines(row["text"], verdict.remove) if verdict.remove else row["text"]
    return {
        **{name: row[name] for name in SHARD.names if name in row},
        "text": text,
        "words": count_words(text),
        "characters": len(text),
        "duplicates": verdict.duplicates,
        "weight": weights[cell_of(row["domain"], row["quality_score"])],
    }


def duplicate_row(row: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """A staged row that deduplication dropped, as a row of drops/."""
    return {
        **{name: row[name] for name in DROP.names if name in row},
        "stage": "deduplicate",
        "reason": verdict.reason,
        "value": verdict.value,
        "threshold": verdict.threshold,
        "detail": "",
        "duplicate_of": verdict.survivor,
        "excerpt": cut_excerpt(row["text"]),
    }


@dataclass(frozen=True)
class Publication:
    """What turns staged rows into published ones."""

    layout: Layout
    verdicts: str
    weights: Mapping[Cell, float]
    personal: scrub_pii.ScrubPiiSettings


def write_part(part: Part, publication: Publication) -> dict[str, Any]:
    """Writes the part's three files; returns {"files": ..., "statistics": ...}."""
    statistics = Statistics()
    kinds = {"shards": SHARD, "drops": DROP, "sketches": PUBLISHED_SKETCH}
    with ExitStack() as stack:
        writers = {
            kind: stack.enter_context(PartWriter(publication.layout.part(kind, part.number), schema).open())
            for kind, schema in kinds.items()
        }
        for unit in part.units:
            _write_unit(unit, publication, writers, statistics)
    files = {kind: writer.manifest_entry() for kind, writer in writers.items()}
    return {"files": files, "statistics": statistics.to_json()}


def _write_unit(unit: str, publication: Publication, writers: Mapping[str, PartWriter], statistics: Statistics) -> None:
    for row in storage.read_rows(publication.layout.unit("drops", unit)):
        writers["drops"].write(row)
        statistics.drop(row)
    for row, verdict in _judged(unit, publication.layout, publication.verdicts):
        if verdict.kept:
            published = kept_row(row, verdict, publication.weights)
            writers["shards"].write(published)
            writers["sketches"].write({name: row[name] for name in PUBLISHED_SKETCH.names})
            statistics.keep(published)
            if statistics.rescanned["documents"] < RESCANNED:
                statistics.rescan(_personal_data(published, publication.personal))
        else:
            dropped = duplicate_row(row, verdict)
            writers["drops"].write(dropped)
            statistics.drop(dropped)


def _personal_data(row: Mapping[str, Any], settings: scrub_pii.ScrubPiiSettings) -> Iterator[str]:
    for column in ("title", "text"):
        yield from (str(span.kind) for span in scrub_pii.find(row[column], settings, row["language"]))
