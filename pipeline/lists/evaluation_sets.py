"""An index of the word n-grams of evaluation sets, and the search for their items in a text.

Texts are compared as sequences of words, without case, punctuation and line ends, so a copy that is re-wrapped or in
capitals is the same text. N-grams are compared by 64-bit hashes; the index holds 16 bytes for each n-gram of an item,
and the items' texts.
"""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipeline import storage
from pipeline.errors import UserError

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")  # a CJK character is a word
_BASE = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash; odd, so that multiplication modulo 2**64 is one-to-one
Codes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class EvaluationItem:
    """One question or text of an evaluation set."""

    set: str
    number: int  # from 1, in its file
    text: str


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item in a text."""

    item: EvaluationItem
    share: float  # of the item's distinct n-grams


def read_items(path: Path) -> Iterator[EvaluationItem]:
    """The items of a file: the rows of JSONL (all their strings), or the lines of a text file; plain or gzip.

    Raises StorageError for a file that cannot be read, UserError for a damaged one.
    """
    name = path.name.removesuffix(".gz")
    is_jsonl = name.endswith((".jsonl", ".ndjson"))
    raw = storage.read_named(path, "evaluation set")
    try:
        text = (gzip.decompress(raw) if path.name.endswith(".gz") else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"evaluation set {path}: {error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            words = _join_strings(path, number, line) if is_jsonl else line
            yield EvaluationItem(name.rpartition(".")[0] or name, number, words)


def _join_strings(path: Path, number: int, line: str) -> str:
    try:
        return "\n".join(_strings(json.loads(line)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"evaluation set {path}, line {number}: not JSON ({error})") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


class EvaluationIndex:
    """The n-grams of items; an item shorter than an n-gram has one gram of its own length, if it is long enough."""

    def __init__(self, items: Iterable[EvaluationItem], words: int, min_words: int) -> None:
        self.items: list[EvaluationItem] = []
        self._sizes: list[int] = []
        owned: dict[int, list[tuple[Codes, int]]] = {}
        for item in items:
            codes = _word_codes(item.text)
            length = min(len(codes), words)
            if length >= min_words:
                grams = np.unique(_hash_ngrams(codes, length))
                owned.setdefault(length, []).append((grams, len(self.items)))
                self.items.append(item)
                self._sizes.append(len(grams))
        self._grams = {length: _sort_owned(owned[length]) for length in sorted(owned)}

    def find(self, text: str, min_share: float) -> FoundItem | None:
        """The item of which the text holds the largest share of n-grams, at least `min_share`; ties by order."""
        codes = _word_codes(text)
        counts: Counter[int] = Counter()
        for length, (grams, owners) in self._grams.items():
            if len(codes) >= length:
                hashes = np.unique(_hash_ngrams(codes, length))
                first, last = np.searchsorted(grams, hashes, "left"), np.searchsorted(grams, hashes, "right")
                for start, end in zip(first[last > first].tolist(), last[last > first].tolist(), strict=True):
                    counts.update(owners[start:end].tolist())
        shares = {item: count / self._sizes[item] for item, count in counts.items()}
        best = min(shares, key=lambda item: (-shares[item], item), default=None)
        if best is None or shares[best] < min_share:
            return None
        return FoundItem(self.items[best], shares[best])


def _sort_owned(pieces: Sequence[tuple[Codes, int]]) -> tuple[Codes, NDArray[np.int64]]:
    """All n-grams sorted, and the item of each."""
    grams = np.concatenate([piece for piece, _ in pieces])
    owners = np.concatenate([np.full(len(piece), item) for piece, item in pieces])
    order = np.lexsort((owners, grams))
    return grams[order], owners[order]


def _word_codes(text: str) -> Codes:
    """A 64-bit hash of every word."""
    words = [word.encode() for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold())]
    return np.fromiter((xxhash.xxh3_64_intdigest(word) for word in words), np.uint64, len(words))


def _hash_ngrams(codes: Codes, length: int) -> Codes:
    """A hash of every run of `length` words."""
    count = len(codes) - length + 1
    total = np.zeros(max(count, 0), np.uint64)
    for offset in range(length):
        total = total * _BASE + codes[offset : offset + count]
    return total
