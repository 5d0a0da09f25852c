"""Count words and write the published files, one part at a time.

A part is a few consecutive units, about `shard_bytes` of text. Both jobs run once per part. CountWords reads staged
documents and verdicts; the weights are computed from the counts of all parts. WritePart reads the documents again, adds
the weights and writes a shard, a file each of drops, sketches and duplicates and, if wanted, the shard as JSONL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.deduplication.settings import DuplicateReason
from pipeline.deduplication.sketch import PUBLISHED_SKETCH, remove_lines
from pipeline.deduplication.verdicts import Verdict, read_verdicts
from pipeline.publishing.candidates import CANDIDATE, candidate_row
from pipeline.publishing.jsonl_writer import ENDINGS, Compression, JsonlWriter
from pipeline.publishing.part_writer import PartWriter
from pipeline.publishing.schema import DROP, DUPLICATE, SHARD, add_signals
from pipeline.publishing.statistics import Statistics
from pipeline.publishing.token_counts import load_token_counter
from pipeline.publishing.weights import Cell, cell_of
from pipeline.stages import scrub_pii
from pipeline.storage.layout import JSONL, PUBLISHED, Layout
from pipeline.text import count_words, cut_excerpt

RESCANNED = 300  # published texts of each part that are scanned for PII a second time; `gristmill audit` scans all


@dataclass(frozen=True, slots=True)
class Part:
    """The units whose documents share one shard, one drops file and one sketches file."""

    number: int
    units: tuple[str, ...]  # unit keys, in order


def plan_parts(characters: Mapping[str, int], shard_bytes: int) -> list[Part]:
    """Consecutive units of at least `shard_bytes` of text together, from their characters by unit key.

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


@dataclass(frozen=True, slots=True)
class WordCounts:
    """Words by (domain, quality, education value) and documents by domain of what deduplication kept."""

    words: Counter[Cell]
    documents: Counter[str]

    @classmethod
    def sum_of(cls, parts: Iterable[Mapping[str, Any]]) -> WordCounts:
        """Adds up the results of CountWords."""
        words: Counter[Cell] = Counter()
        documents: Counter[str] = Counter()
        for part in parts:
            words.update({(domain, quality, education): n for domain, quality, education, n in part["words"]})
            documents.update(part["documents"])
        return cls(words, documents)

    def to_json(self) -> dict[str, Any]:
        """{"words": [[domain, quality, education, words], ...], "documents": {domain: n}}"""
        words = [[*cell, n] for cell, n in sorted(self.words.items())]
        return {"words": words, "documents": dict(sorted(self.documents.items()))}


@dataclass(frozen=True)
class CountWords:
    """Counts the words of one part by domain, quality and education value."""

    layout: Layout
    verdicts: str  # folder of the verdict files
    key: str  # fingerprint of what decides the parts
    counter = "parts_counted"

    @property
    def folder(self) -> str:
        """Where the counts are stored: inside the folder of the verdicts that decide them."""
        return storage.join(self.verdicts, f"words-{self.key}")

    def name(self, part: Part) -> str:
        """The file of one part's counts."""
        return f"{part.number:05d}.json"

    def compute(self, part: Part) -> dict[str, Any]:
        """The counts of one part."""
        counts = WordCounts(Counter(), Counter())
        for unit in part.units:
            _count_unit(unit, self.layout, self.verdicts, counts)
        return counts.to_json()


def _count_unit(key: str, layout: Layout, verdicts: str, counts: WordCounts) -> None:
    for row, verdict in _read_with_verdicts(key, layout, verdicts):
        if verdict.kept:
            count = count_words(remove_lines(row["text"], verdict.remove)) if verdict.remove else row["words"]
            counts.words[cell_of(row)] += count
            counts.documents[row["domain"]] += 1


def _read_with_verdicts(key: str, layout: Layout, verdicts: str) -> Iterator[tuple[dict[str, Any], Verdict]]:
    """The staged rows of a unit, each with its verdict (kept or duplicate)."""
    rows = storage.read_rows(layout.unit("staged", key))
    yield from zip(rows, read_verdicts(storage.join(verdicts, f"{key}.parquet")), strict=True)


def kept_row(row: Mapping[str, Any], verdict: Verdict, weights: Mapping[Cell, float]) -> dict[str, Any]:
    """A row of a shard: the staged row without repeated paragraphs, with weight and number of duplicates."""
    text = remove_lines(row["text"], verdict.remove) if verdict.remove else row["text"]
    return {
        **{name: row[name] for name in SHARD.names if name in row},
        "text": text,
        "words": count_words(text),
        "characters": len(text),
        "tokens": None,
        "duplicates": verdict.duplicates,
        "removed_lines": list(verdict.remove),
        "weight": weights[cell_of(row)],
    }


def duplicate_row(row: Mapping[str, Any], verdict: Verdict, *, with_text: bool) -> dict[str, Any]:
    """A row of drops/ for a staged row that deduplication dropped."""
    return {
        **{name: row[name] for name in DROP.names if name in row},
        "stage": "deduplicate",
        "reason": verdict.reason,
        "value": verdict.value,
        "threshold": verdict.threshold,
        "detail": "",
        "duplicate_of": verdict.survivor,
        "excerpt": cut_excerpt(row["text"]),
        "text": row["text"] if with_text else None,
    }


def member_rows(row: Mapping[str, Any], verdict: Verdict) -> Iterator[dict[str, Any]]:
    """The rows of duplicates/ for a staged row: none for a document that is alone.

    A document of an earlier output has its row beside each of its duplicates, so it may have several.
    """
    member = {"survivor": row["id"], "id": row["id"], "url": row["url"], "kept": verdict.kept}
    unknown = dict.fromkeys(("reason", "similarity", "snapshot"))
    if verdict.kept:
        if verdict.duplicates:
            yield {**member, **unknown}
    elif verdict.reason in _OF_GROUPS:
        similarity = 1.0 if verdict.reason == DuplicateReason.SAME_TEXT else _similarity(verdict)
        found = {"survivor": verdict.survivor, "reason": verdict.reason, "similarity": similarity}
        yield {**member, **unknown, **found}
        if verdict.snapshot:
            earlier = {"survivor": verdict.survivor, "id": verdict.survivor, "url": None, "kept": True}
            yield {**unknown, **earlier, "snapshot": verdict.snapshot}


_OF_GROUPS = frozenset(map(str, DuplicateReason)) - {DuplicateReason.TOO_LITTLE_LEFT}


def _similarity(verdict: Verdict) -> float | None:
    return None if verdict.reason == DuplicateReason.HAS_DUPLICATES else verdict.value


@dataclass(frozen=True)
class WritePart:
    """Writes the files of one part; its result names them and holds the statistics of their rows."""

    layout: Layout
    verdicts: str  # folder of the verdict files
    weights: Mapping[Cell, float]
    pii: scrub_pii.ScrubPiiSettings
    key: str  # fingerprint of what decides the published rows
    jsonl: Compression | None = None
    drop_text: bool = False  # write the text of dropped documents
    signals: tuple[str, ...] = ()  # those that no stage declares
    tokenizer: Path | None = None
    counter = "parts_written"

    @property
    def folder(self) -> str:
        """Where the results are stored."""
        return storage.join(self.layout.folder("published"), self.key)

    def name(self, part: Part) -> str:
        """The file of one part's result."""
        return f"{part.number:05d}.json"

    def paths(self, part: Part) -> list[str]:
        """The files of the part, as paths below the output."""
        names = {kind: self.layout.part(kind, part.number) for kind in PUBLISHED}
        if self.jsonl:
            names[JSONL] = self.layout.part(JSONL, part.number, ENDINGS[self.jsonl])
        return [f"{kind}/{path.rsplit('/', 1)[-1]}" for kind, path in names.items()]

    def compute(self, part: Part) -> dict[str, Any]:
        """{"files": manifest entry by kind, "statistics": ...}"""
        statistics = Statistics()
        shard, drop = (add_signals(schema, self.signals) for schema in (SHARD, DROP))
        kinds = {
            "shards": shard,
            "drops": drop,
            "sketches": PUBLISHED_SKETCH,
            "duplicates": DUPLICATE,
            "candidates": CANDIDATE,
        }
        with ExitStack() as stack:
            writers: dict[str, PartWriter | JsonlWriter] = {
                kind: stack.enter_context(PartWriter(self.layout.part(kind, part.number), schema).open())
                for kind, schema in kinds.items()
            }
            if self.jsonl:
                path = self.layout.part(JSONL, part.number, ENDINGS[self.jsonl])
                writers[JSONL] = stack.enter_context(JsonlWriter(path, SHARD.names, self.jsonl).open())
            for unit in part.units:
                self._write_unit(unit, writers, statistics)
        files = {kind: writer.manifest_entry() for kind, writer in writers.items()}
        return {"files": files, "statistics": statistics.to_json()}

    def _write_unit(self, key: str, writers: Mapping[str, PartWriter | JsonlWriter], statistics: Statistics) -> None:
        for row in storage.read_rows(self.layout.unit("drops", key)):
            writers["drops"].write(row)
            statistics.drop(row)
        for row, verdict in _read_with_verdicts(key, self.layout, self.verdicts):
            for member in member_rows(row, verdict):
                writers["duplicates"].write(member)
            writers["candidates"].write(candidate_row(row, kept=verdict.kept))
            if verdict.kept:
                published = kept_row(row, verdict, self.weights)
                if self.tokenizer:
                    published["tokens"] = load_token_counter(self.tokenizer)(published["text"])
                self.write_kept(published, writers, statistics)
                writers["sketches"].write({name: row[name] for name in PUBLISHED_SKETCH.names})
            else:
                dropped = duplicate_row(row, verdict, with_text=self.drop_text)
                writers["drops"].write(dropped)
                statistics.drop(dropped)

    def write_kept(
        self, row: dict[str, Any], writers: Mapping[str, PartWriter | JsonlWriter], statistics: Statistics
    ) -> None:
        """Writes and counts a row of a shard."""
        writers["shards"].write(row)
        if self.jsonl:
            writers[JSONL].write(row)
        statistics.keep(row)
        if statistics.rescanned["documents"] < RESCANNED:
            statistics.rescan(_find_pii(row, self.pii))


def _find_pii(row: Mapping[str, Any], settings: scrub_pii.ScrubPiiSettings) -> Iterator[str]:
    for column in ("title", "text"):
        yield from (str(span.kind) for span in scrub_pii.find(row[column], settings, row["language"]))
