"""Evaluation text inside training text: found by word n-grams, reported, and removed from training.

An item counts as found in a document that holds at least half of its n-grams. N-grams that occur in very many documents
(licenses, cookie notices) are ignored. The report shows the paragraph that holds most of an item.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tqdm import tqdm

from trainer.contamination.ngram_index import (
    WORD,
    Item,
    Matches,
    NgramIndex,
    find_matches,
    find_overlaps,
    find_paragraphs,
)
from trainer.data.curated_dataset import Dataset, Shard, fetch_shard, read_rows
from trainer.data.questions import QuestionError, read_questions
from trainer.errors import UserError
from trainer.files import write_atomically


class Hit(NamedTuple):
    """An item found in a document."""

    document: str
    set: str
    number: int
    overlap: float  # share of the item's n-grams
    paragraph: str  # of the document, where most of the item lies


class Scan(NamedTuple):
    """What a scan found."""

    hits: list[Hit]
    ubiquitous: int  # n-grams that were ignored
    documents: int  # scanned


def scan_texts(index: NgramIndex, texts: Sequence[tuple[str, str]]) -> Scan:
    """Find items in (id, text) pairs: pretraining text, instructions or preferences."""
    matches = (find_matches(index, document, text) for document, text in texts)
    return _collect_hits(index, matches, dict(texts), len(texts))


def scan_dataset(index: NgramIndex, dataset: Dataset, workers: int = 0, *, progress: bool = True) -> Scan:
    """Find items in a curated dataset, shards in parallel."""
    processes = max(1, min(workers or len(os.sched_getaffinity(0)), len(dataset.shards)))
    matches: list[Matches] = []
    texts: dict[str, str] = {}
    with tqdm(total=dataset.rows, unit=" documents", desc="scan", disable=None if progress else True) as bar:
        for shard, (found, kept) in zip(dataset.shards, _scan_shards(index, dataset, processes), strict=True):
            matches += found
            texts |= kept
            bar.update(shard.rows)
    return _collect_hits(index, matches, texts, dataset.rows)


def _collect_hits(index: NgramIndex, matches: Iterable[Matches], texts: Mapping[str, str], documents: int) -> Scan:
    overlaps, ubiquitous = find_overlaps(index, matches)
    hits = []
    for found, items in overlaps:
        paragraphs = find_paragraphs(index, texts[found.document], found, items)
        for number, overlap in items.items():
            item = index.items[number]
            hits.append(Hit(found.document, item.set, item.number, overlap, paragraphs[number]))
    return Scan(hits, ubiquitous, documents)


def _scan_shards(index: NgramIndex, dataset: Dataset, processes: int) -> Iterator[tuple[list[Matches], dict[str, str]]]:
    scan = partial(_scan_shard, index)
    if processes == 1:
        yield from map(scan, dataset.shards)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(scan, dataset.shards)


def _scan_shard(index: NgramIndex, shard: Shard) -> tuple[list[Matches], dict[str, str]]:
    """The documents of a shard with any n-gram of the index, and their texts."""
    matches, texts = [], {}
    with fetch_shard(shard) as path:
        for batch in read_rows(path, shard.path, ("id", "text")):
            for row in batch.to_pylist():
                found = find_matches(index, row["id"], row["text"])
                if found.grams:
                    matches.append(found)
                    texts[row["id"]] = row["text"]
    return matches, texts


def summarize_scan(index: NgramIndex, scan: Scan) -> dict[str, Any]:
    """Numbers of a report: for each evaluation set how many items were found, and in how many documents."""
    sets = {}
    for name in sorted({item.set for item in index.items}):
        mine = [number for number, item in enumerate(index.items) if item.set == name]
        found = [hit for hit in scan.hits if hit.set == name]
        sets[name] = {
            "items": len(mine),
            "too_short": int((index.sizes[mine] == 0).sum()),
            "found": len({hit.number for hit in found}),
            "documents": len({hit.document for hit in found}),
        }
    return {
        "documents": scan.documents,
        "contaminated": len({hit.document for hit in scan.hits}),
        "ubiquitous_ngrams": scan.ubiquitous,
        "sets": sets,
    }


def measure_recall(
    index: NgramIndex, hosts: Sequence[tuple[str, str]], count: int = 200, seed: int = 0
) -> dict[str, float]:
    """Plant items in host texts (canaries) and scan them; returns the share found and the share of false alarms.

    Each canary is in capitals, without punctuation, at 8 words a line, every second one with blank lines between its
    lines. A false alarm is a control, the same words in another order, that is found. Hosts that already hold an item
    are left out.
    """
    random = Random(seed)
    testable = [number for number, size in enumerate(index.sizes) if size]
    contaminated = {hit.document for hit in scan_texts(index, hosts).hits}
    clean = [host for host in hosts if host[0] not in contaminated]
    if not testable or not clean:
        raise UserError(
            "canaries: no item is long enough, or every text already holds an item: there is nothing to plant; "
            "leave them out with --canaries 0"
        )
    chosen = random.sample(testable, min(count, len(testable)))
    found = false = 0
    for turn, item in enumerate(chosen):
        document, text = random.choice(clean)
        words = [word.group() for word in WORD.finditer(index.items[item].text)]
        planted = _plant(words, text, blank=bool(turn % 2))
        shuffled = _plant(random.sample(words, len(words)), text, blank=bool(turn % 2))
        found += any(index.items[hit].text == index.items[item].text for hit in _find_items(index, document, planted))
        false += bool(_find_items(index, document, shuffled))
    return {"planted": len(chosen), "recall": found / len(chosen), "false_alarms": false / len(chosen)}


def _plant(words: Sequence[str], host: str, *, blank: bool) -> str:
    """A host text with words in its middle, re-wrapped."""
    lines = [" ".join(words[start : start + 8]).upper() for start in range(0, len(words), 8)]
    middle = len(host) // 2
    return host[:middle] + "\n\n" + ("\n\n" if blank else "\n").join(lines) + "\n\n" + host[middle:]


def _find_items(index: NgramIndex, document: str, text: str) -> list[int]:
    overlaps, _ = find_overlaps(index, [find_matches(index, document, text)])
    return [item for found in overlaps for item in found.items]


def read_items(path: Path) -> list[Item]:
    """The items of an evaluation file: each question with its correct answer; of other JSONL, all text of a row."""
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    try:
        questions = read_questions(path)
    except QuestionError:
        return [Item(name, number, text) for number, (_, text) in enumerate(read_texts(path))]
    return [Item(name, number, f"{q.stem} {q.choices[q.gold]}") for number, q in enumerate(questions)]


def read_texts(path: Path) -> list[tuple[str, str]]:
    """(file:line, text) of every row of a JSONL file; the text joins all strings of the row."""
    try:
        return [(place, "\n\n".join(_strings(json.loads(line)))) for place, line in _read_lines(path)]
    except (OSError, EOFError) as error:  # EOFError: a .gz file that was cut off
        raise UserError(f"{path}: cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON lines ({error})") from error


def write_hits(path: Path, hits: Iterable[Hit]) -> None:
    """The hits as JSONL, which a data source's `exclude` reads."""
    rows = (json.dumps(hit._asdict(), ensure_ascii=False) + "\n" for hit in hits)
    write_atomically(path, "".join(rows))


def write_clean(path: Path, hits: Iterable[Hit], clean: Path) -> None:
    """The rows of a JSONL file in which nothing was found, unchanged."""
    found = {hit.document for hit in hits}
    data = "".join(f"{line}\n" for place, line in _read_lines(path) if place not in found).encode()
    write_atomically(clean, gzip.compress(data, mtime=0) if clean.suffix == ".gz" else data)


def _read_lines(path: Path) -> list[tuple[str, str]]:
    """(file:line, line) of the lines that are not empty."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")
    return [(f"{path.name}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def read_first_texts(dataset: Dataset, count: int) -> list[tuple[str, str]]:
    """(id, text) of the first documents of a dataset."""
    found: list[tuple[str, str]] = []
    for shard in dataset.shards:
        with fetch_shard(shard) as path:
            for batch in read_rows(path, shard.path, ("id", "text")):
                found += [(row["id"], row["text"]) for row in batch.to_pylist()]
                if len(found) >= count:
                    return found[:count]
    return found
