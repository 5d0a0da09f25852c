"""An index of the word n-grams of evaluation sets, and the search for them in documents.

Texts are compared as sequences of words, without case, punctuation and line ends, so a copy that is re-wrapped or
printed in capitals is the same text. N-grams run across line ends and blank lines.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainer.data.corpus import mix64
from trainer.settings import Settings

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")  # a CJK character is a word
PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
BASE = 0x9E3779B97F4A7C15  # of the rolling hash; odd, so that multiplication modulo 2**64 is one-to-one


class ContaminationSettings(Settings):
    """When an evaluation item counts as found in a document."""

    words: int = Field(default=13, ge=2, description="words in an n-gram; GPT-3 and most later models used 13")
    min_words: int = Field(
        default=8, ge=2, description="words that an item needs to be tested; shorter ones are too common (GPT-3: 8)"
    )
    overlap: float = Field(
        default=0.5, gt=0, le=1, description="share of an item's n-grams that a document must hold, 0 to 1"
    )
    ubiquitous: int = Field(default=100, ge=1, description="number of documents above which an n-gram is ignored")


class Item(NamedTuple):
    """One question or text of an evaluation set."""

    set: str
    number: int
    text: str


@dataclass(frozen=True)
class NgramIndex:
    """The n-grams of evaluation sets. An item shorter than an n-gram has one gram of its own length."""

    settings: ContaminationSettings
    items: tuple[Item, ...]
    vocabulary: dict[str, int]
    grams: dict[int, NDArray[np.uint64]]  # hashes by length in words, sorted
    owners: dict[tuple[int, int], tuple[int, ...]]  # (length, place in `grams`) -> items
    sizes: NDArray[np.int64]  # distinct n-grams of each item; 0 where it is too short to be tested


class Matches(NamedTuple):
    """The indexed n-grams of one document: (length, place in the index, word at which it begins)."""

    document: str
    grams: tuple[tuple[int, int, int], ...]


class Overlaps(NamedTuple):
    """The items found in one document: item -> share of its n-grams."""

    matches: Matches
    items: dict[int, float]


def build_index(items: Iterable[Item], settings: ContaminationSettings) -> NgramIndex:
    """Index the n-grams of evaluation items."""
    kept = tuple(items)
    vocabulary: dict[str, int] = {}
    coded = []
    for item in kept:
        words = [match.group() for match in WORD.finditer(normalize(item.text))]
        coded.append(np.array([vocabulary.setdefault(word, len(vocabulary) + 1) for word in words], dtype=np.uint64))
    owned: dict[int, dict[int, list[int]]] = {}
    sizes = np.zeros(len(kept), dtype=np.int64)
    for number, codes in enumerate(coded):
        length = min(len(codes), settings.words)
        if length >= settings.min_words:
            hashes = np.unique(hash_ngrams(codes, length))
            sizes[number] = len(hashes)
            for value in hashes.tolist():
                owned.setdefault(length, {}).setdefault(value, []).append(number)
    grams = {length: np.array(sorted(found), dtype=np.uint64) for length, found in sorted(owned.items())}
    owners = {
        (length, place): tuple(owned[length][value])
        for length, values in grams.items()
        for place, value in enumerate(values.tolist())
    }
    return NgramIndex(settings, kept, vocabulary, grams, owners, sizes)


def normalize(text: str) -> str:
    """NFKC and case folding; the length may change."""
    return unicodedata.normalize("NFKC", text).casefold()


def hash_ngrams(codes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A hash of every run of `length` words."""
    mixed = mix64(codes, length)
    count = len(codes) - length + 1
    total = np.zeros(max(count, 0), dtype=np.uint64)
    for offset in range(length):
        total = total * np.uint64(BASE) + mixed[offset : offset + count]
    return total


def find_matches(index: NgramIndex, document: str, text: str) -> Matches:
    """The indexed n-grams of a text; `document` is its id."""
    codes = np.array(
        [index.vocabulary.get(found.group(), 0) for found in WORD.finditer(normalize(text))], dtype=np.uint64
    )
    found: list[tuple[int, int, int]] = []
    unknown = np.concatenate([[0], np.cumsum(codes == 0)])
    for length, grams in index.grams.items():
        if len(codes) < length:
            continue
        starts = np.flatnonzero(unknown[length:] == unknown[:-length])  # runs of known words only
        if len(starts):
            hashes = hash_ngrams(codes, length)[starts]
            places = np.minimum(np.searchsorted(grams, hashes), len(grams) - 1)
            equal = grams[places] == hashes
            found += [(length, int(p), int(s)) for p, s in zip(places[equal], starts[equal], strict=True)]
    return Matches(document, tuple(found))


def find_overlaps(index: NgramIndex, matches: Iterable[Matches]) -> tuple[list[Overlaps], int]:
    """The documents with an item found in them, and the number of ubiquitous n-grams."""
    kept = [found for found in matches if found.grams]
    documents = Counter(gram for found in kept for gram in {(length, place) for length, place, _ in found.grams})
    common = {gram for gram, count in documents.items() if count > index.settings.ubiquitous}
    sizes = index.sizes.copy()
    for gram in common:
        for item in index.owners[gram]:
            sizes[item] -= 1
    overlaps = []
    for found in kept:
        grams = {(length, place) for length, place, _ in found.grams} - common
        counts = Counter(item for gram in grams for item in index.owners[gram])
        shares = {item: count / int(sizes[item]) for item, count in sorted(counts.items())}
        items = {item: share for item, share in shares.items() if share >= index.settings.overlap}
        if items:
            overlaps.append(Overlaps(found, items))
    return overlaps, len(common)


def find_paragraphs(index: NgramIndex, text: str, matches: Matches, items: Collection[int]) -> dict[int, str]:
    """For each item the blank-line paragraph of a document where most of its n-grams begin."""
    text = normalize(text)
    starts = [0, *(separator.end() for separator in PARAGRAPH.finditer(text))]
    words = [word.start() for word in WORD.finditer(text)]
    counts: dict[int, Counter[int]] = {item: Counter() for item in items}
    for length, place, start in matches.grams:
        paragraph = bisect_right(starts, words[start]) - 1
        for item in index.owners[length, place]:
            if item in counts:
                counts[item][paragraph] += 1
    best = {item: count.most_common(1)[0][0] for item, count in counts.items()}
    return {item: text[starts[number] : [*starts, len(text)][number + 1]].strip() for item, number in best.items()}
