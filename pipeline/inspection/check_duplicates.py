"""Checks that no near-duplicates were kept: texts of a sample word by word, sketches bucket by bucket."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import storage
from pipeline.deduplication.minhash import similarity
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.inspection.check import Check, Problems, RepeatedKeys, stride_for
from pipeline.text import tokenize

SAMPLE = 2_000  # kept documents whose texts are compared with each other
SHINGLE = 5  # words
# Pairs this similar are not missed by chance: with 20 bands of 7 rows the probability is below one in 100,000.
SURELY_FOUND = 0.9
_COMMON = 100  # documents compared for one shingle; a phrase in more documents is no evidence of duplicates
_BUCKET_ENTRIES = 4_000_000  # (document, band) pairs held at a time; with their sketches below 1 GB
_BAND_BYTES = 8


class NearDuplicateCheck:
    """No two documents of a sample of the kept ones share most word 5-grams of their published texts."""

    def __init__(self, settings: DeduplicateSettings) -> None:
        self._settings = settings
        self._sample: list[tuple[int, str, frozenset[int]]] = []  # a heap of the smallest ids, the largest on top

    def add_kept(self, row: Mapping[str, Any]) -> None:
        order = -int(row["id"], 16)
        if len(self._sample) == SAMPLE and order < self._sample[0][0]:
            return
        shingles = frozenset(map(hash_words, shingles_of(tokenize(row["text"]))))
        if shingles:
            push = heapq.heappushpop if len(self._sample) == SAMPLE else heapq.heappush
            push(self._sample, (order, row["id"], shingles))

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        """Only kept documents are compared."""

    def result(self) -> Check:
        if not self._settings.near:
            return Check("near-duplicates", True, "not checked: this run had deduplicate.near = false")
        pairs = sorted(self._similar_pairs(), reverse=True)
        limit = max(SURELY_FOUND, self._settings.threshold)
        problems = Problems(f"{a} and {b}: similarity {j:.3f}" for j, a, b in pairs if j >= limit)
        closest = f", highest similarity {pairs[0][0]:.3f}" if pairs else ""
        return problems.check("near-duplicates", f"none among {len(self._sample):,} sampled documents{closest}")

    def _similar_pairs(self) -> Iterator[tuple[float, str, str]]:
        """(Jaccard similarity, id, id) of pairs that share more than half of the shorter one's shingles."""
        for (a, b), common in self._count_common_shingles().items():
            (_, left, ours), (_, right, theirs) = self._sample[a], self._sample[b]
            if common > 0.5 * min(len(ours), len(theirs)):
                yield len(ours & theirs) / len(ours | theirs), left, right

    def _count_common_shingles(self) -> Counter[tuple[int, int]]:
        holders: dict[int, list[int]] = defaultdict(list)
        for number, (_, _, shingles) in enumerate(self._sample):
            for shingle in shingles:
                holders[shingle].append(number)
        common: Counter[tuple[int, int]] = Counter()
        for numbers in holders.values():
            common.update(combinations(numbers[:_COMMON], 2))
        return common


def shingles_of(words: Sequence[str]) -> set[tuple[str, ...]]:
    """The word 5-grams of a text."""
    return {tuple(words[n : n + SHINGLE]) for n in range(len(words) - SHINGLE + 1)}


def hash_words(words: Sequence[str]) -> int:
    """64 bits of a shingle."""
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest(), "big")


def check_sketches(paths: Sequence[str], documents: int, settings: DeduplicateSettings) -> Check:
    """No two kept documents have the same URL or text, and no two in the same bucket of a band are similar.

    Reads each file once. Of more than 4 million (document, band) pairs only a sample of the buckets is compared.
    """
    urls, texts, buckets = RepeatedKeys(documents), RepeatedKeys(documents), Buckets(documents, settings)
    rows = 0
    for path in paths:
        for row in storage.read_rows(path):
            rows += 1
            urls.add(int.from_bytes(row["url_key"][:8], "little"))
            texts.add(int.from_bytes(row["text_key"][:8], "little"))
            if settings.near:
                buckets.add(row["id"], row["bands"], row["sketch"])
    problems = Problems(buckets.similar_pairs())
    for is_checked, keys, what in ((settings.exact_url, urls, "URL"), (settings.exact_text, texts, "text")):
        if is_checked and keys.count():
            problems.add(f"{keys.count():,} kept documents share their {what} with another")
    return problems.check("buckets", f"{rows:,} sketches, no equal URLs or texts, no similar pair in a bucket")


class Buckets:
    """Documents grouped by the key of each band; those in the same bucket are compared by their sketches."""

    def __init__(self, documents: int, settings: DeduplicateSettings) -> None:
        self._settings = settings
        self._stride = np.uint64(stride_for(documents * settings.bands, _BUCKET_ENTRIES))
        self._ids: list[str] = []
        self._sketches: list[bytes] = []
        self._keys: list[NDArray[np.uint64]] = []

    def add(self, document: str, bands: bytes, sketch: bytes) -> None:
        """`bands` holds one uint64 per band, `sketch` one byte per row of the signature; empty for a short text."""
        keys = np.frombuffer(bands, np.uint64) + np.arange(len(bands) // _BAND_BYTES, dtype=np.uint64) * _ODD
        keys = keys[keys % self._stride == 0]
        if len(keys):
            self._ids.append(document)
            self._sketches.append(sketch)
            self._keys.append(keys)

    def similar_pairs(self) -> list[str]:
        """A line for each pair of one bucket whose estimated similarity reaches the threshold."""
        found = {pair for bucket in self._find_shared_buckets() for pair in self._compare(bucket)}
        return [f"{a} and {b}: similarity {alike:.3f} in one bucket" for a, b, alike in sorted(found)]

    def _find_shared_buckets(self) -> Iterator[NDArray[np.int64]]:
        """The documents of every bucket that holds more than one."""
        if not self._keys:
            return
        keys = np.concatenate(self._keys)
        documents = np.repeat(np.arange(len(self._keys)), [len(keys) for keys in self._keys])
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order])) + 1
        yield from (bucket for bucket in np.split(documents[order], starts) if len(bucket) > 1)

    def _compare(self, bucket: NDArray[np.int64]) -> Iterator[tuple[str, str, float]]:
        """Each document with the first ones of its bucket, as deduplication does."""
        sketches = np.stack([np.frombuffer(self._sketches[number], np.uint8) for number in bucket])
        for later in range(1, len(bucket)):
            earlier = sketches[: min(later, self._settings.bucket_limit)]
            alike = similarity((earlier == sketches[later]).sum(axis=1), sketches.shape[1])
            for first in np.flatnonzero(alike >= self._settings.threshold):
                yield self._ids[bucket[first]], self._ids[bucket[later]], round(float(alike[first]), 3)


_ODD = np.uint64(0x9E3779B97F4A7C15)  # multiplied by the band's number and added to its keys: bands share no bucket
