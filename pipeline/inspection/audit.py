"""`gristmill audit`: is an output what its manifest says, and does it keep what it promises to readers?

Every row is read once. Each check is an object that sees rows and answers one line; they know nothing of each other.
What may only be sampled says so: near-duplicates by brute force.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.deduplication.minhash import similarity
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.deduplication.sketch import PUBLISHED_SKETCH
from pipeline.inspection.find_pages import parts
from pipeline.page_process.killable_process import PageLostReason
from pipeline.publishing.content_hash import MODULUS, content_hash, row_digest
from pipeline.publishing.schema import DROP, SHARD
from pipeline.publishing.weights import Cell, WeightSettings, cell_of, weight_table
from pipeline.stages import read_warc, scrub_pii
from pipeline.stages.order import PAGE_STAGES, STAGES
from pipeline.storage.layout import Layout, read_json
from pipeline.text import EXCERPT_CHARACTERS, count_words, tokenize

SAMPLE = 2_000  # kept documents that are compared with each other, word for word
# Pairs this alike cannot stay by bad luck: with 20 bands of 7 rows the chance is below one in 100,000.
SURELY_FOUND = 0.9
SCHEMAS = {"shards": SHARD, "drops": DROP, "sketches": PUBLISHED_SKETCH}
_CUT = EXCERPT_CHARACTERS - 60  # a longer excerpt may have been cut inside a number of several words


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the audit."""

    name: str
    ok: bool
    detail: str


def audit(output: str) -> list[Check]:
    """All checks. Raises ValueError where there is no finished output."""
    layout = Layout(output)
    if not storage.exists(layout.manifest):
        raise ValueError(
            f"{output}: no manifest.json here, so this is no finished output; run `gristmill curate` again"
        )
    manifest = read_json(layout.manifest)
    first = [check_files(layout, manifest), check_schema(layout)]
    if not all(check.ok for check in first):
        return [*first, Check("rows", False, "not read, because the files are not what they should be")]
    return [*first, *_read(layout, manifest), check_sketches(layout, manifest)]


def check_files(layout: Layout, manifest: Mapping[str, Any]) -> Check:
    """Every file of the manifest is there with its size and hash, and no other Parquet file beside it."""
    wrong, files, size = [], 0, 0
    for kind in SCHEMAS:
        named = {file["path"]: file for file in manifest[kind]}
        there = {f"{kind}/{path.rsplit('/', 1)[-1]}": path for path in parts(layout, kind)}
        wrong += [f"{name} is missing" for name in named if name not in there]
        wrong += [f"{name} is not in the manifest" for name in there if name not in named]
        for name in sorted(named.keys() & there.keys()):
            files, size = files + 1, size + named[name]["bytes"]
            if _sha256(there[name]) != named[name]["sha256"]:
                wrong.append(f"{name} has other bytes than the manifest says")
    return _check("files", wrong, f"{files} files, {size:,} bytes, hashes as in the manifest")


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with storage.open_binary(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_schema(layout: Layout) -> Check:
    """Columns and types."""
    wrong = []
    for kind, schema in SCHEMAS.items():
        for path in parts(layout, kind):
            try:
                with storage.open_parquet(path) as file:
                    found = pq.read_schema(file)
            except (pa.ArrowInvalid, OSError) as error:
                wrong.append(f"{kind}/{path.rsplit('/', 1)[-1]} is no Parquet file ({str(error)[:60]})")
                continue
            different = [
                name
                for name in {**dict.fromkeys(schema.names), **dict.fromkeys(found.names)}
                if not _same(found, schema, name)
            ]
            if different:
                wrong.append(f"{kind}/{path.rsplit('/', 1)[-1]}: {', '.join(different[:5])}")
    return _check("schema", wrong, ", ".join(f"{kind} {len(schema)} columns" for kind, schema in SCHEMAS.items()))


def _same(found: pa.Schema, wanted: pa.Schema, column: str) -> bool:
    if column not in found.names or column not in wanted.names:
        return False
    ours, theirs = wanted.field(column), found.field(column)
    if column == "signals":  # another version of the code may measure other things
        return pa.types.is_struct(theirs.type) and all(pa.types.is_float64(field.type) for field in theirs.type)
    return bool(ours.equals(theirs))


class Checker(Protocol):
    """Sees every row once."""

    def keep(self, row: Mapping[str, Any]) -> None: ...
    def drop(self, row: Mapping[str, Any]) -> None: ...
    def result(self) -> Check: ...


def _read(layout: Layout, manifest: Mapping[str, Any]) -> list[Check]:
    config = manifest["config"]
    report = read_json(layout.report)
    duplicates = DeduplicateSettings.model_validate(config["deduplicate"])
    checkers: list[Checker] = [
        ContentHash(manifest["content_hash"]),
        Ledger(manifest, report),
        Fates(),
        Survivors(),
        Counts(),
        PersonalData(scrub_pii.ScrubPiiSettings.model_validate(config["scrub_pii"])),
        Weights(WeightSettings.model_validate(config["publish"]["weights"])),
        NearDuplicates(duplicates),
    ]
    for row in _rows(layout, "shards"):
        for checker in checkers:
            checker.keep(row)
    for row in _rows(layout, "drops"):
        for checker in checkers:
            checker.drop(row)
    return [checker.result() for checker in checkers]


def _rows(layout: Layout, kind: str) -> Iterator[dict[str, Any]]:
    for path in parts(layout, kind):
        yield from storage.read_rows(path)


def _check(name: str, wrong: list[str], right: str) -> Check:
    more = f"; {len(wrong) - 3:,} more" if len(wrong) > 3 else ""
    return Check(name, not wrong, "; ".join(wrong[:3]) + more if wrong else right)


class ContentHash:
    """The rows add up to the manifest's content hash."""

    def __init__(self, wanted: str) -> None:
        self.wanted, self.sums = wanted, {"shards": 0, "drops": 0}

    def keep(self, row: Mapping[str, Any]) -> None:
        self.sums["shards"] = (self.sums["shards"] + row_digest(row)) % MODULUS

    def drop(self, row: Mapping[str, Any]) -> None:
        self.sums["drops"] = (self.sums["drops"] + row_digest(row)) % MODULUS

    def result(self) -> Check:
        found = content_hash({kind: [{"content": f"{value:064x}"}] for kind, value in self.sums.items()})
        wrong = [] if found == self.wanted else [f"the rows give {found}, the manifest says {self.wanted}"]
        return _check("content hash", wrong, found)


class Ledger:
    """pages == kept + dropped, and the same numbers in manifest, report and rows."""

    def __init__(self, manifest: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        self.manifest, self.report = manifest, report
        self.kept, self.dropped = 0, Counter[str]()

    def keep(self, row: Mapping[str, Any]) -> None:
        self.kept += 1

    def drop(self, row: Mapping[str, Any]) -> None:
        self.dropped[f"{row['stage']}:{row['reason']}"] += 1

    def result(self) -> Check:
        out = self.dropped.total()
        told = {f"{stage}:{why}": n for stage, reasons in self.report["dropped"].items() for why, n in reasons.items()}
        wrong = []
        for name, pages, kept in (("manifest", self.manifest["pages"], self.manifest["kept"]),
                                  ("report", self.report["pages"], self.report["kept"])):  # fmt: skip
            if pages != self.kept + out:
                wrong.append(f"the {name} read {pages:,} pages, the rows are {self.kept:,} kept + {out:,} dropped")
            if kept != self.kept:
                wrong.append(f"the {name} kept {kept:,}, the shards hold {self.kept:,}")
        different = sorted(fate for fate in {*told, *self.dropped} if told.get(fate, 0) != self.dropped[fate])
        wrong += [f"{fate}: {told.get(fate, 0):,} in the report, {self.dropped[fate]:,} rows" for fate in different]
        return _check("ledger", wrong, f"{self.kept + out:,} pages = {self.kept:,} kept + {out:,} dropped")


_REASONS = {
    **{stage: {str(reason) for reason in module.Reason} for stage, module in PAGE_STAGES.items()},
    "read_warc": {str(reason) for reason in read_warc.Reason},
    "page_process": {str(reason) for reason in PageLostReason},
    "deduplicate": {str(reason) for reason in DuplicateReason},
}


class Fates:
    """No capture has two fates, and every reason is on its stage's list."""

    def __init__(self) -> None:
        self.captures = array("Q")
        self.wrong: list[str] = []

    def keep(self, row: Mapping[str, Any]) -> None:
        self._note(row)

    def drop(self, row: Mapping[str, Any]) -> None:
        self._note(row)
        if row["stage"] not in STAGES or row["reason"] not in _REASONS[row["stage"]]:
            self.wrong.append(f"{row['id']}: unknown fate {row['stage']}:{row['reason']}")

    def _note(self, row: Mapping[str, Any]) -> None:
        key = f"{row['warc_file']} {row['warc_offset']} {row['id']}".encode()
        self.captures.append(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big"))

    def result(self) -> Check:
        keys = np.frombuffer(self.captures, np.uint64)
        twice = len(keys) - len(np.unique(keys))
        wrong = [*self.wrong, *([f"{twice:,} captures have more than one row"] if twice else [])]
        return _check("fates", wrong, f"{len(keys):,} captures, one fate each, reasons all known")


class Survivors:
    """Every dropped copy names a kept document, and that one counts it."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.named: Counter[str] = Counter()

    def keep(self, row: Mapping[str, Any]) -> None:
        self.counted[row["id"]] = row["duplicates"]

    def drop(self, row: Mapping[str, Any]) -> None:
        if row["duplicate_of"] and row["reason"] != DuplicateReason.ALREADY_PUBLISHED:
            self.named[row["duplicate_of"]] += 1

    def result(self) -> Check:
        wrong = [
            f"{survivor} is named by {n} copies but not kept"
            for survivor, n in self.named.items()
            if survivor not in self.counted
        ]
        wrong += [
            f"{document} says that it stands for {n}, named by {self.named[document]}"
            for document, n in self.counted.items()
            if n != self.named[document]
        ]
        return _check(
            "survivors", wrong, f"{self.named.total():,} copies stand behind {len(self.named):,} kept documents"
        )


class Counts:
    """Words and characters are those of the text."""

    def __init__(self) -> None:
        self.words, self.wrong = 0, list[str]()

    def keep(self, row: Mapping[str, Any]) -> None:
        self.words += row["words"]
        if row["words"] != count_words(row["text"]) or row["characters"] != len(row["text"]):
            self.wrong.append(f"{row['id']}: words or characters are not those of the text")
        if not row["text"].strip():
            self.wrong.append(f"{row['id']}: no text")

    def drop(self, row: Mapping[str, Any]) -> None:
        """Dropped pages have no counts."""

    def result(self) -> Check:
        return _check("counts", self.wrong, f"{self.words:,} words, as the texts have them")


class PersonalData:
    """The scrubber finds nothing more in texts, titles and excerpts."""

    def __init__(self, settings: scrub_pii.ScrubPiiSettings) -> None:
        self.settings = settings
        self.texts, self.wrong = 0, list[str]()

    def keep(self, row: Mapping[str, Any]) -> None:
        for name in ("title", "text"):
            self._scan(row, name, row["language"])

    def drop(self, row: Mapping[str, Any]) -> None:
        for name in ("excerpt", "detail"):
            self._scan(row, name, row["language"])

    def _scan(self, row: Mapping[str, Any], name: str, language: str | None) -> None:
        text = row[name] or ""
        self.texts += bool(text)
        for span in scrub_pii.find(text, self.settings, language or ""):
            if span.end < len(text) or len(text) < _CUT or name != "excerpt":
                self.wrong.append(f"{row['id']}: {span.kind} in its {name} at character {span.start}")

    def result(self) -> Check:
        return _check("personal data", self.wrong, f"none in {self.texts:,} texts, titles and excerpts")


class Weights:
    """Every weight is the one that the table of asked shares gives its domain and score: finite, positive, capped."""

    def __init__(self, settings: WeightSettings) -> None:
        self.settings = settings
        self.words: Counter[Cell] = Counter()
        self.seen: dict[Cell, set[float]] = defaultdict(set)

    def keep(self, row: Mapping[str, Any]) -> None:
        cell = cell_of(row["domain"], row["quality_score"])
        self.words[cell] += row["words"]
        self.seen[cell].add(row["weight"])

    def drop(self, row: Mapping[str, Any]) -> None:
        """Dropped pages have no weight."""

    def result(self) -> Check:
        every = [weight for weights in self.seen.values() for weight in weights]
        wrong = [f"a weight of {w}" for w in every if w is None or not math.isfinite(w) or w < 0]
        wrong += [
            f"weight {w} is above the cap {self.settings.max_repetition}"
            for w in every
            if not wrong and w > self.settings.max_repetition
        ]
        if not wrong:
            table = weight_table(self.words, self.settings)
            wrong = [
                f"{cell[0]} at {cell[1] / 100:.2f}: weight {weight}, the shares give {table.get(cell)}"
                for cell, weights in sorted(self.seen.items())
                for weight in sorted(weights)
                if weight != table.get(cell)
            ]
        span = f"{min(every):g} to {max(every):g}" if every else "none"
        return _check("weights", wrong, f"{span}, cap {self.settings.max_repetition:g}, as the asked shares give them")


class NearDuplicates:
    """A sample of the kept documents, each against each, by the word 5-grams of their published texts."""

    def __init__(self, settings: DeduplicateSettings) -> None:
        self.settings = settings
        self.heap: list[tuple[int, str, frozenset[int]]] = []  # the smallest ids, the largest of them on top

    def keep(self, row: Mapping[str, Any]) -> None:
        order = -int(row["id"], 16)
        if len(self.heap) == SAMPLE and order < self.heap[0][0]:
            return
        words = tokenize(row["text"])
        shingles = frozenset(hash_of(words[n : n + 5]) for n in range(len(words) - 4))
        if shingles:
            push = heapq.heappushpop if len(self.heap) == SAMPLE else heapq.heappush
            push(self.heap, (order, row["id"], shingles))

    def drop(self, row: Mapping[str, Any]) -> None:
        """Only kept documents are compared."""

    def result(self) -> Check:
        if not self.settings.near:
            return Check("near-duplicates", True, "not looked for by this run (deduplicate.near)")
        pairs = sorted(self._similar(), reverse=True)
        wrong = [
            f"{a} and {b} are {j:.3f} alike" for j, a, b in pairs if j >= max(SURELY_FOUND, self.settings.threshold)
        ]
        close = f", the closest pair {pairs[0][0]:.3f} alike" if pairs else ""
        return _check("near-duplicates", wrong, f"none among {len(self.heap):,} sampled documents{close}")

    def _similar(self) -> Iterator[tuple[float, str, str]]:
        holders: dict[int, list[int]] = defaultdict(list)
        for number, (_, _, shingles) in enumerate(self.heap):
            for shingle in shingles:
                holders[shingle].append(number)
        shared: Counter[tuple[int, int]] = Counter()
        for numbers in holders.values():
            shared.update(combinations(numbers[:100], 2))  # phrases that more pages share say nothing of any two
        for (a, b), common in shared.items():
            (_, left, ours), (_, right, theirs) = self.heap[a], self.heap[b]
            if common > 0.5 * min(len(ours), len(theirs)):
                yield len(ours & theirs) / len(ours | theirs), left, right


def hash_of(words: list[str]) -> int:
    """64 bits of a shingle."""
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest(), "big")


def check_sketches(layout: Layout, manifest: Mapping[str, Any]) -> Check:
    """What deduplication promises of all kept documents: no two with one URL or text, no two alike in one bucket."""
    settings = DeduplicateSettings.model_validate(manifest["config"]["deduplicate"])
    tables = []
    for path in parts(layout, "sketches"):
        with storage.open_parquet(path) as file:
            tables.append(pq.read_table(file))
    table = pa.concat_tables(tables) if tables else PUBLISHED_SKETCH.empty_table()
    wrong = []
    for wanted, name, what in ((settings.exact_url, "url_key", "URL"), (settings.exact_text, "text_key", "text")):
        keys = table[name].to_pylist()
        if wanted and len(set(keys)) < len(keys):
            wrong.append(f"{len(keys) - len(set(keys)):,} kept documents share their {what} with another")
    if settings.near:
        wrong += _alike_in_a_bucket(table, settings)
    return _check(
        "buckets", wrong, f"{table.num_rows:,} sketches, no two of one URL or text, no two alike in one bucket"
    )


def _alike_in_a_bucket(table: pa.Table, settings: DeduplicateSettings) -> list[str]:
    ids, bands, sketches = (table[name].to_pylist() for name in ("id", "bands", "sketch"))
    leaders: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    wrong = []
    for number, band in enumerate(bands):
        mine = np.frombuffer(sketches[number], np.uint8)
        for at in range(0, len(band), 8):
            bucket = leaders[at, band[at : at + 8]]
            for other in bucket[: settings.bucket_limit]:
                theirs = np.frombuffer(sketches[other], np.uint8)
                alike = float(similarity(int((mine == theirs).sum()), len(mine)))
                if alike >= settings.threshold:
                    wrong.append(f"{ids[other]} and {ids[number]}: similarity {alike:.3f} in one bucket")
            bucket.append(number)
    return sorted(set(wrong))
