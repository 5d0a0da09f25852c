"""Evaluation text inside training text: found by word n-grams, reported, and left out of training.

Texts are compared as sequences of words, without case, punctuation and line ends, so that a re-wrapped or re-set copy
is the same text; n-grams run over line ends and blank lines alike, and the blank-line paragraph that holds most of them
is what the report shows. An item counts as found in a document that holds at least half of its n-grams. N-grams that
lie in very many documents (licenses, cookie notices) prove nothing and are left out of the count.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from trainer.data.corpus import mix64
from trainer.data.dataset import Dataset, Shard, fetched, read_rows
from trainer.evaluation.questions import TaskError, read_questions
from trainer.settings import Settings

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")  # a letter of CJK is a word
PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
BASE = 0x9E3779B97F4A7C15  # odd: multiplying by it loses nothing


class ContaminationSettings(Settings):
    """What counts as found."""

    words: int = Field(default=13, ge=2, description="of an n-gram; GPT-3 and most after it take 13")
    least: int = Field(default=8, ge=2, description="items of fewer words are too common to be tested (GPT-3: 8)")
    overlap: float = Field(default=0.5, gt=0, le=1, description="share of an item's n-grams in one document")
    ubiquitous: int = Field(default=100, ge=1, description="n-grams in more documents than this are left out")


class Item(NamedTuple):
    """One question or text of an evaluation set."""

    set: str
    number: int
    text: str


class Hit(NamedTuple):
    """An item found in a document."""

    document: str
    set: str
    number: int
    overlap: float
    paragraph: str  # of the document, where most of it lies


@dataclass(frozen=True)
class Index:
    """The n-grams of evaluation sets. Items shorter than an n-gram are one gram of their own length."""

    settings: ContaminationSettings
    items: tuple[Item, ...]
    vocabulary: dict[str, int]
    grams: dict[int, NDArray[np.uint64]]  # by length in words, sorted
    owners: dict[tuple[int, int], tuple[int, ...]]  # (length, place in `grams`) -> items
    sizes: NDArray[np.int64]  # distinct n-grams of each item; 0 where it is too short to be tested


class Matches(NamedTuple):
    """The indexed n-grams of one document: (length, place in the index, word at which it begins)."""

    document: str
    grams: tuple[tuple[int, int, int], ...]


def build_index(items: Iterable[Item], settings: ContaminationSettings) -> Index:
    """Index the n-grams of evaluation items."""
    kept = tuple(items)
    vocabulary: dict[str, int] = {}
    coded = []
    for item in kept:
        words = [match.group() for match in WORD.finditer(normalized(item.text))]
        coded.append(np.array([vocabulary.setdefault(word, len(vocabulary) + 1) for word in words], dtype=np.uint64))
    owned: dict[int, dict[int, list[int]]] = {}
    sizes = np.zeros(len(kept), dtype=np.int64)
    for number, codes in enumerate(coded):
        length = min(len(codes), settings.words)
        if length >= settings.least:
            hashes = np.unique(rolling(codes, length))
            sizes[number] = len(hashes)
            for value in hashes.tolist():
                owned.setdefault(length, {}).setdefault(value, []).append(number)
    grams = {length: np.array(sorted(found), dtype=np.uint64) for length, found in sorted(owned.items())}
    owners = {
        (length, place): tuple(owned[length][value])
        for length, values in grams.items()
        for place, value in enumerate(values.tolist())
    }
    return Index(settings, kept, vocabulary, grams, owners, sizes)


def normalized(text: str) -> str:
    """Case and forms of characters set aside; the length may change."""
    return unicodedata.normalize("NFKC", text).casefold()


def rolling(codes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A hash of every run of `length` words."""
    mixed = mix64(codes, length)
    count = len(codes) - length + 1
    total = np.zeros(max(count, 0), dtype=np.uint64)
    for offset in range(length):
        total = total * np.uint64(BASE) + mixed[offset : offset + count]
    return total


def match(index: Index, document: str, text: str) -> Matches:
    """The indexed n-grams of a text."""
    codes = np.array(
        [index.vocabulary.get(found.group(), 0) for found in WORD.finditer(normalized(text))], dtype=np.uint64
    )
    found: list[tuple[int, int, int]] = []
    unknown = np.concatenate([[0], np.cumsum(codes == 0)])
    for length, grams in index.grams.items():
        if len(codes) < length:
            continue
        starts = np.flatnonzero(unknown[length:] == unknown[:-length])  # runs of known words only
        if len(starts):
            hashes = rolling(codes, length)[starts]
            places = np.minimum(np.searchsorted(grams, hashes), len(grams) - 1)
            equal = grams[places] == hashes
            found += [(length, int(p), int(s)) for p, s in zip(places[equal], starts[equal], strict=True)]
    return Matches(document, tuple(found))


def judge(index: Index, matches: Iterable[Matches]) -> tuple[list[tuple[Matches, int, float]], int]:
    """(document's matches, item, overlap) of what was found, and how many n-grams were ubiquitous."""
    kept = [found for found in matches if found.grams]
    documents = Counter(gram for found in kept for gram in {(length, place) for length, place, _ in found.grams})
    common = {gram for gram, count in documents.items() if count > index.settings.ubiquitous}
    sizes = index.sizes.copy()
    for gram in common:
        for item in index.owners[gram]:
            sizes[item] -= 1
    hits = []
    for found in kept:
        grams = {(length, place) for length, place, _ in found.grams} - common
        shares = Counter(item for gram in grams for item in index.owners[gram])
        for item, count in sorted(shares.items()):
            if count / sizes[item] >= index.settings.overlap:
                hits.append((found, item, count / int(sizes[item])))
    return hits, len(common)


def paragraph_of(index: Index, text: str, found: Matches, item: int) -> str:
    """The blank-line paragraph of a document where most of an item's n-grams begin."""
    text = normalized(text)
    ends = [separator.end() for separator in PARAGRAPH.finditer(text)]
    words = [word.start() for word in WORD.finditer(text)]
    begun = [words[start] for length, place, start in found.grams if item in index.owners[(length, place)]]
    counts = Counter(int(np.searchsorted(ends, start, side="right")) for start in begun)
    number = counts.most_common(1)[0][0]
    return text[([0, *ends])[number] : [*ends, len(text)][number]].strip()


def scan_texts(index: Index, texts: Sequence[tuple[str, str]]) -> tuple[list[Hit], int]:
    """Items found in (id, text) pairs of any phase: pretraining, instructions, preferences."""
    by_id = dict(texts)
    found, common = judge(index, (match(index, document, text) for document, text in texts))
    hits = []
    for matches, item, overlap in found:
        paragraph = paragraph_of(index, by_id[matches.document], matches, item)
        hits.append(Hit(matches.document, index.items[item].set, index.items[item].number, overlap, paragraph))
    return hits, common


def scan_dataset(index: Index, dataset: Dataset, workers: int = 0, *, progress: bool = True) -> tuple[list[Hit], int]:
    """Items found in a curated dataset, shards in parallel."""
    processes = max(1, min(workers or len(os.sched_getaffinity(0)), len(dataset.shards)))
    matches: list[Matches] = []
    texts: dict[str, str] = {}
    with tqdm(total=dataset.rows, unit=" documents", desc="scan", disable=None if progress else True) as bar:
        for shard, (found, kept) in zip(dataset.shards, _scan_shards(index, dataset, processes), strict=True):
            matches += found
            texts |= kept
            bar.update(shard.rows)
    hits, common = judge(index, matches)
    rows = [
        Hit(
            m.document,
            index.items[item].set,
            index.items[item].number,
            overlap,
            paragraph_of(index, texts[m.document], m, item),
        )
        for m, item, overlap in hits
    ]
    return rows, common


def _scan_shards(index: Index, dataset: Dataset, processes: int) -> Iterator[tuple[list[Matches], dict[str, str]]]:
    scan = partial(_scan_shard, index)
    if processes == 1:
        yield from map(scan, dataset.shards)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(scan, dataset.shards)


def _scan_shard(index: Index, shard: Shard) -> tuple[list[Matches], dict[str, str]]:
    """The documents of a shard with any n-gram of the index, and their texts."""
    matches, texts = [], {}
    with fetched(shard) as path:
        for batch in read_rows(path, shard.path, ("id", "text")):
            for row in batch.to_pylist():
                found = match(index, row["id"], row["text"])
                if found.grams:
                    matches.append(found)
                    texts[row["id"]] = row["text"]
    return matches, texts


def summary(index: Index, hits: Sequence[Hit], documents: int, common: int) -> dict[str, Any]:
    """Numbers of a report: by evaluation set how many items were found, and in how many documents."""
    sets = {}
    for name in sorted({item.set for item in index.items}):
        mine = [number for number, item in enumerate(index.items) if item.set == name]
        found = [hit for hit in hits if hit.set == name]
        sets[name] = {
            "items": len(mine),
            "too_short": int((index.sizes[mine] == 0).sum()),
            "found": len({hit.number for hit in found}),
            "documents": len({hit.document for hit in found}),
        }
    return {
        "documents": documents,
        "contaminated": len({hit.document for hit in hits}),
        "ubiquitous_ngrams": common,
        "sets": sets,
    }


def canary_recall(index: Index, hosts: Sequence[tuple[str, str]], count: int = 200, seed: int = 0) -> dict[str, float]:
    """Plants items, disguised, in host texts and scans them: which share is found, and how many are falsely found.

    Each canary is set in other case, without its punctuation, at 8 words a line, every other one with blank lines
    between its lines. The controls hold the same words in another order. Hosts that held an item before are left out.
    """
    random = Random(seed)
    testable = [number for number, size in enumerate(index.sizes) if size]
    already = {hit.document for hit in scan_texts(index, hosts)[0]}
    clean = [host for host in hosts if host[0] not in already]
    if not testable or not clean:
        raise ValueError("no item is long enough, or no text is free of them: there is nothing to plant")
    chosen = random.sample(testable, min(count, len(testable)))
    found = false = 0
    for turn, item in enumerate(chosen):
        document, text = random.choice(clean)
        words = [word.group() for word in WORD.finditer(index.items[item].text)]
        planted = _disguised(words, text, blank=bool(turn % 2))
        shuffled = _disguised(random.sample(words, len(words)), text, blank=bool(turn % 2))
        found += any(index.items[hit].text == index.items[item].text for hit in _items_in(index, document, planted))
        false += bool(_items_in(index, document, shuffled))
    return {"planted": len(chosen), "recall": found / len(chosen), "false_alarms": false / len(chosen)}


def _disguised(words: Sequence[str], host: str, *, blank: bool) -> str:
    """A host text with words in its middle, re-wrapped."""
    lines = [" ".join(words[start : start + 8]).upper() for start in range(0, len(words), 8)]
    middle = len(host) // 2
    return host[:middle] + "\n\n" + ("\n\n" if blank else "\n").join(lines) + "\n\n" + host[middle:]


def _items_in(index: Index, document: str, text: str) -> list[int]:
    return [item for _, item, _ in judge(index, [match(index, document, text)])[0]]


def items_of(path: Path) -> list[Item]:
    """The items of an evaluation file: each question with its right answer; or, of other JSONL, all text of a row."""
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    try:
        questions = read_questions(path)
    except TaskError:
        return [Item(name, number, text) for number, (_, text) in enumerate(texts_of(path))]
    return [Item(name, number, f"{q.stem} {q.choices[q.gold]}") for number, q in enumerate(questions)]


def texts_of(path: Path) -> list[tuple[str, str]]:
    """(file:line, text) of every row of a JSONL file of any phase; its text is that of all its strings."""
    try:
        return [(place, "\n\n".join(_strings(json.loads(line)))) for place, line in _lines(path)]
    except ValueError as error:
        raise ValueError(f"{path}: not JSON lines ({error})") from error


def write_clean(path: Path, hits: Iterable[Hit], clean: Path) -> None:
    """The rows of a JSONL file in which nothing was found, as they were."""
    found = {hit.document for hit in hits}
    data = "".join(f"{line}\n" for place, line in _lines(path) if place not in found).encode()
    clean.write_bytes(gzip.compress(data, mtime=0) if clean.suffix == ".gz" else data)


def _lines(path: Path) -> list[tuple[str, str]]:
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


def some_texts(dataset: Dataset, most: int) -> list[tuple[str, str]]:
    """(id, text) of the first documents of a dataset."""
    found: list[tuple[str, str]] = []
    for shard in dataset.shards:
        with fetched(shard) as path:
            for batch in read_rows(path, shard.path, ("id", "text")):
                found += [(row["id"], row["text"]) for row in batch.to_pylist()]
                if len(found) >= most:
                    return found[:most]
    return found
