"""Count the kinds of characters of each text block, for all blocks of a page at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

# Kinds of characters; each character has one.
OTHER, SPACE, DIGIT, CAPITAL, COMMA, STOP, SYMBOL, IDEOGRAPH, SYLLABLE = range(9)
_KINDS = 9
_COMMAS = ",;:،؛、，；："
_STOPS = ".!?…。！？．｡؟۔।॥։។။"
_SYMBOLS = ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So")  # categories
# Scripts without spaces: a word has about two ideographs or kana, or four characters of Thai, Lao, Khmer and Burmese.
_IDEOGRAPHS = ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
_SYLLABLES = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))
WORD = 4  # units of size in a word


@dataclass(frozen=True, slots=True)
class CharacterCounts:
    """Of each block."""

    length: Integers
    size: Integers  # in units of a quarter of a word
    sentences: Integers  # ends of sentences inside and at the end
    commas: Integers
    capitals: Integers
    symbols: Integers
    digits: Integers
    last: NDArray[np.uint8]  # kind of the last character


def count_characters(texts: Sequence[str]) -> CharacterCounts:
    """Counts of every block; `texts` have no line breaks."""
    codes = np.frombuffer(("\n".join(texts) + "\n").encode("utf-32-le", "replace"), dtype=np.uint32)
    kinds = _table()[np.minimum(codes, 0xFFFF)]
    ends = np.flatnonzero(codes == ord("\n"))
    starts = np.concatenate(([0], ends[:-1] + 1))
    blocks = np.repeat(np.arange(len(texts)) * _KINDS, ends - starts + 1)
    counts = np.bincount(blocks + kinds, minlength=len(texts) * _KINDS).reshape(-1, _KINDS).T
    stops = np.flatnonzero(kinds == STOP)
    followed = kinds[stops + 1]
    is_end = (followed == SPACE) | (followed >= IDEOGRAPH)
    sentences = np.bincount(blocks[stops[is_end]] // _KINDS, minlength=len(texts))
    return CharacterCounts(
        length=ends - starts,
        size=WORD * counts[SPACE] + 2 * counts[IDEOGRAPH] + counts[SYLLABLE],  # the line end counts for the last word
        sentences=sentences,
        commas=counts[COMMA],
        capitals=counts[CAPITAL],
        symbols=counts[SYMBOL],
        digits=counts[DIGIT],
        last=kinds[np.maximum(ends - 1, 0)],
    )


@cache
def _table() -> NDArray[np.uint8]:
    """The kind of every character of the Basic Multilingual Plane; others are like its last."""
    kind_of = {"Nd": DIGIT, "Lu": CAPITAL, **dict.fromkeys(_SYMBOLS, SYMBOL)}
    characters = list(map(chr, range(0x10000)))
    kinds = np.array([kind_of.get(category, OTHER) for category in map(unicodedata.category, characters)], np.uint8)
    for ranges, kind in ((_SYLLABLES, SYLLABLE), (_IDEOGRAPHS, IDEOGRAPH)):
        for first, last in ranges:
            kinds[first : last + 1] = kind
    for members, kind in ((_STOPS, STOP), (_COMMAS, COMMA), (filter(str.isspace, characters), SPACE)):
        kinds[[ord(character) for character in members]] = kind
    return kinds
