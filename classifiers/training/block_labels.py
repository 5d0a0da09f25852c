"""Label the blocks of a page by a gold text: the share of each block's words that the gold text holds.

Words are compared as a sequence: long blocks by 4-grams, each copy of the gold text once; short ones by the alignment
of the two word sequences, or where both long neighbors are in the gold text and the phrase occurs in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

Floats = NDArray[np.float32]

# In scripts without spaces a character counts as a word.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
_GRAM = 4
_LONG = 5  # words of a block whose 4-grams say enough
_NEAR = 6  # words beside a block of a word or two that must be aligned near it
_FAR = 12  # words of the gold text that the alignment may jump there


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def label_blocks(texts: Sequence[str], gold: str) -> Floats:
    """The share of each block that is in `gold`, in document order."""
    reference = words_of(gold)
    words = [words_of(text) for text in texts]
    shares = np.zeros(len(texts), dtype=np.float32)
    if not reference or not words:
        return shares
    aligned, offsets = _align(words, reference)
    grams = Counter(zip(*(reference[start:] for start in range(_GRAM)), strict=False))
    for number, own in enumerate(words):
        run = aligned[offsets[number] : offsets[number + 1]]
        if len(own) >= _LONG:
            shares[number] = _covered(own, grams)
        elif own and run[0] >= 0 and np.array_equal(run, np.arange(run[0], run[0] + len(run))):
            shares[number] = len(own) > 2 or _is_supported(aligned, offsets[number], offsets[number + 1])
    _complete_short(shares, words, f" {' '.join(reference)} ")
    return shares


def _align(words: Sequence[Sequence[str]], reference: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place in `reference` of each word by the longest common subsequence, or -1; the first word of each block."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(reference))}
    offsets = np.cumsum([0, *map(len, words)])
    flat = [numbers.get(word, -1 - place) for place, word in enumerate(word for own in words for word in own)]
    aligned = np.full(len(flat), -1, dtype=np.int64)
    for part in LCSseq.opcodes(flat, [numbers[word] for word in reference]):
        if part.tag == "equal":
            aligned[part.src_start : part.src_end] = np.arange(part.dest_start, part.dest_end)
    return aligned, offsets


def _covered(own: Sequence[str], grams: Counter[tuple[str, ...]]) -> float:
    """The share of words in 4-grams of the gold text, which are used up."""
    covered = np.zeros(len(own), dtype=bool)
    for start in range(len(own) - _GRAM + 1):
        gram = tuple(own[start : start + _GRAM])
        if grams[gram] > 0:
            grams[gram] -= 1
            covered[start : start + _GRAM] = True
    return float(covered.mean())


def _is_supported(aligned: NDArray[np.int64], start: int, end: int) -> bool:
    """Whether the alignment goes on beside a word or two: alone they match by chance."""
    beside = np.concatenate([aligned[max(0, start - _NEAR) : start], aligned[end : end + _NEAR]])
    return int(((beside >= 0) & (np.abs(beside - aligned[start]) <= _FAR)).sum()) >= 3


def _complete_short(shares: Floats, words: Sequence[Sequence[str]], reference: str) -> None:
    """Short blocks between blocks of the gold text are in it if the phrase is; blocks without words like the last."""
    long_ones = np.array([number for number, own in enumerate(words) if len(own) >= _LONG])
    for number, own in enumerate(words):
        if not own:
            shares[number] = shares[number - 1] if number else 0
        elif len(own) < _LONG and shares[number] < 1 and len(long_ones):
            after = int(np.searchsorted(long_ones, number))
            around = [shares[long_ones[place]] for place in (after - 1, after) if 0 <= place < len(long_ones)]
            if min(around) > 0.6 and f" {' '.join(own)} " in reference:
                shares[number] = 1
