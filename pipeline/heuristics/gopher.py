"""Gopher's quality and repetition rules: Rae et al. 2021 (arXiv 2112.11446), section A.1 and table A1.

Choices made where published implementations differ: words are runs of letters and digits (no punctuation tokens), word
length is their mean, stop words are counted once each. Repetition is measured on prose only. The first occurrence of a
line or n-gram is not a duplicate, nor is a line of up to three characters. Shares are of the words' characters; a
character covered by several n-grams counts once, so every share lies in [0, 1]. n-grams are compared exactly (no
hashing), and only positions whose (n-1)-gram is repeated are examined for n: the work grows as the page's words times
their logarithm.

The paper's limits on word length and stop words are for English. The limits on word length are not applied to Korean,
Vietnamese or languages without spaces; the upper one is higher for languages with compound words. Stop words of other
languages are the words of its reference table with a share of 0.8% or more, at least eight; the rule does not apply to
languages without a table.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import count, filterfalse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.heuristics.distribution import load_reference
from pipeline.heuristics.rules import HeuristicReason, Rule
from pipeline.heuristics.text_parts import TextParts
from pipeline.settings import Settings
from pipeline.text import MARKS

ENGLISH_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})  # Gopher's eight
_MIN_STOP_WORD_SHARE = 0.008
_MIN_STOP_WORDS = 8
_LETTER = re.compile(rf"[^\W\d_]|[{MARKS}]")
_SYMBOL = re.compile(r"[^\w\s](?<!\S.)[^\w\s]*+(?!\S)")  # the set first: it skips all other characters fast
_BULLET = re.compile(r"^ *[-*•] ", re.MULTILINE)  # also of a list within a list
# Korean writes syllable blocks, Vietnamese single syllables: three characters are a long word.
_WITHOUT_WORD_LENGTH = frozenset({"ko", "vi"})
_WITH_COMPOUND_WORDS = frozenset(
    {"fi", "et", "hu", "tr", "de", "ml", "ta", "te", "kn", "el", "ru", "uk", "kk", "mn", "eu", "is", "ka"}
)
_LABEL = 3  # characters of a line that is no text: an interview was dropped for its "Q." and "A."
_MIN_PROSE_WORDS = 50  # with fewer, the rules about words do not apply
_TOP = (2, 3, 4)  # n of the n-grams of which the most common one counts
_DUPLICATE = (5, 6, 7, 8, 9, 10)  # n of the n-grams of which all repeated ones count
_MAX_UNITS_IN_ONE_KEY = 1_000_000  # its third power still fits 64 bits

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def _share(default: float, of: str) -> Any:
    return Field(default, ge=0, le=1, description=f"share of {of}")


class GopherSettings(Settings):
    """Limits of table A1 and section A.1.1; "off" disables a rule."""

    min_words: float | None = Field(50, ge=0, description="words of the page")
    max_words: float | None = Field(100_000, ge=0, description="words of the page")
    min_mean_word_length: float | None = Field(3, ge=0, description="mean characters of a word")
    max_mean_word_length: float | None = Field(10, ge=0, description="mean characters of a word")
    max_mean_word_length_joining: float | None = Field(
        13, ge=0, description="the same in languages with compound words (fi, de, tr ...); not in the paper"
    )
    max_hash_ratio: float | None = Field(0.1, ge=0, description='"#" per word of prose')
    max_ellipsis_ratio: float | None = Field(0.1, ge=0, description='"..." and "…" per word of prose')
    max_bullet_lines: float | None = _share(0.9, "prose lines that begin with a bullet")
    max_ellipsis_lines: float | None = _share(0.3, "prose lines that end in an ellipsis")
    min_alphabetic_words: float | None = _share(0.8, "words and lone symbols that contain a letter")
    min_stop_words: int | None = Field(2, ge=0, description="different stop words of the language on the page")
    max_duplicate_lines: float | None = _share(0.30, "lines that occurred before on the page")
    max_duplicate_line_characters: float | None = _share(0.20, "characters in lines that occurred before")
    skip_paragraphs: bool = Field(
        False, description="skip the paragraph rules: for text in which lines and paragraphs are not told apart (DCLM)"
    )
    max_duplicate_paragraphs: float | None = _share(0.30, "paragraphs that occurred before on the page")
    max_duplicate_paragraph_characters: float | None = _share(0.20, "characters in paragraphs that occurred before")
    max_top_2_gram: float | None = _share(0.20, "characters in the most common 2-gram of words")
    max_top_3_gram: float | None = _share(0.18, "characters in the most common 3-gram of words")
    max_top_4_gram: float | None = _share(0.16, "characters in the most common 4-gram of words")
    max_duplicate_5_grams: float | None = _share(0.15, "characters in repeated 5-grams of words")
    max_duplicate_6_grams: float | None = _share(0.14, "characters in repeated 6-grams of words")
    max_duplicate_7_grams: float | None = _share(0.13, "characters in repeated 7-grams of words")
    max_duplicate_8_grams: float | None = _share(0.12, "characters in repeated 8-grams of words")
    max_duplicate_9_grams: float | None = _share(0.11, "characters in repeated 9-grams of words")
    max_duplicate_10_grams: float | None = _share(0.10, "characters in repeated 10-grams of words")


RULES: tuple[Rule, ...] = (
    Rule(HeuristicReason.TOO_FEW_WORDS, "gopher_words", "min_words", at_least=True),
    Rule(HeuristicReason.TOO_MANY_WORDS, "gopher_words", "max_words"),
    Rule(HeuristicReason.WORDS_TOO_SHORT, "gopher_mean_word_length", "min_mean_word_length", at_least=True),
    Rule(HeuristicReason.WORDS_TOO_LONG, "gopher_mean_word_length", "max_mean_word_length"),
    Rule(HeuristicReason.WORDS_TOO_LONG, "gopher_mean_word_length_joining", "max_mean_word_length_joining"),
    Rule(HeuristicReason.TOO_MANY_HASHES, "gopher_hash_ratio", "max_hash_ratio"),
    Rule(HeuristicReason.TOO_MANY_ELLIPSES, "gopher_ellipsis_ratio", "max_ellipsis_ratio"),
    Rule(HeuristicReason.TOO_MANY_BULLETS, "gopher_bullet_lines", "max_bullet_lines"),
    Rule(HeuristicReason.TOO_MANY_ELLIPSIS_LINES, "gopher_ellipsis_lines", "max_ellipsis_lines"),
    Rule(HeuristicReason.TOO_FEW_ALPHABETIC_WORDS, "gopher_alphabetic_words", "min_alphabetic_words", at_least=True),
    Rule(HeuristicReason.TOO_FEW_STOP_WORDS, "gopher_stop_words", "min_stop_words", at_least=True),
    Rule(HeuristicReason.DUPLICATE_LINES, "gopher_duplicate_lines", "max_duplicate_lines"),
    Rule(
        HeuristicReason.DUPLICATE_LINE_CHARACTERS, "gopher_duplicate_line_characters", "max_duplicate_line_characters"
    ),
    Rule(HeuristicReason.DUPLICATE_PARAGRAPHS, "gopher_duplicate_paragraphs", "max_duplicate_paragraphs"),
    Rule(
        HeuristicReason.DUPLICATE_PARAGRAPH_CHARACTERS,
        "gopher_duplicate_paragraph_characters",
        "max_duplicate_paragraph_characters",
    ),
    *(Rule(HeuristicReason[f"TOP_{n}_GRAM"], f"gopher_top_{n}_gram", f"max_top_{n}_gram") for n in _TOP),
    *(
        Rule(HeuristicReason[f"DUPLICATE_{n}_GRAMS"], f"gopher_duplicate_{n}_grams", f"max_duplicate_{n}_grams")
        for n in _DUPLICATE
    ),
)
SIGNALS: tuple[str, ...] = tuple(dict.fromkeys(rule.signal for rule in RULES))


@cache
def stop_words(language: str) -> frozenset[str]:
    """Stop words of a language: common in any prose of it. Empty for a language without a reference table."""
    if language == "en":
        return ENGLISH_STOP_WORDS
    ranked = sorted((load_reference(language) or {}).items(), key=lambda item: (-item[1], item[0]))
    common = [word for word, share in ranked if share >= _MIN_STOP_WORD_SHARE]
    return frozenset(common if len(common) >= _MIN_STOP_WORDS else [word for word, _ in ranked[:_MIN_STOP_WORDS]])


def measure(page: TextParts, settings: GopherSettings) -> dict[str, float]:
    """Measure the page for Gopher's rules; a measurement that does not apply is left out."""
    return {
        "gopher_words": page.all_words,
        **_measure_lines(page),
        **(_measure_words(page) if page.prose_words >= _MIN_PROSE_WORDS else {}),
        **_measure_duplicates(page.prose, "line"),
        **({} if settings.skip_paragraphs else _measure_duplicates(page.paragraphs, "paragraph")),
        **ngram_shares(page.units, page.characters_per_word or 1),
    }


def _measure_words(page: TextParts) -> dict[str, float]:
    """For pages with enough prose: a page of code or tables alone has none."""
    text = page.prose_text
    signals = {
        "gopher_hash_ratio": text.count("#") / page.prose_words,
        "gopher_ellipsis_ratio": (text.count("...") + text.count("…")) / page.prose_words,
        "gopher_alphabetic_words": _alphabetic_share(page),
    }
    if not page.characters_per_word and page.language not in _WITHOUT_WORD_LENGTH:
        mean = sum(map(len, page.words)) / len(page.words)
        name = "gopher_mean_word_length_joining" if page.language in _WITH_COMPOUND_WORDS else "gopher_mean_word_length"
        signals[name] = mean
    common = stop_words(page.language)
    if common and not page.characters_per_word:
        signals["gopher_stop_words"] = float(len(common & page.vocabulary))
    return signals


def _alphabetic_share(page: TextParts) -> float:
    """Share of words with a letter. Lone symbols count as words without one, except the bullet of a list item."""
    counts = page.unit_counts
    without = sum(counts[unit] for unit in filterfalse(str.isalpha, counts) if not _LETTER.search(unit))
    text = page.prose_text
    symbols = len(_SYMBOL.findall(text)) - len(_BULLET.findall(text))
    return (len(page.units) - without) / (len(page.units) + max(0, symbols))


def _measure_lines(page: TextParts) -> dict[str, float]:
    lines = page.prose
    if not lines:
        return {}
    return {
        "gopher_bullet_lines": sum(line.startswith(("•", "-")) for line in lines) / len(lines),
        "gopher_ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / len(lines),
    }


def _measure_duplicates(pieces: Sequence[str], what: str) -> dict[str, float]:
    """Shares of lines or paragraphs, and of their characters, that occurred before on the page. "Q." may return."""
    if not pieces:
        return {}
    seen: set[str] = set()
    repeated = characters = 0
    for piece in pieces:
        if piece in seen and len(piece) > _LABEL:
            repeated += 1
            characters += len(piece)
        seen.add(piece)
    return {
        f"gopher_duplicate_{what}s": repeated / len(pieces),
        f"gopher_duplicate_{what}_characters": characters / sum(map(len, pieces)),
    }


def ngram_shares(units: Sequence[str], scale: int = 1) -> dict[str, float]:
    """Share of characters in the most common 2-, 3- and 4-gram, and in repeated 5- to 10-grams.

    `scale` is the number of units in a word: an n-gram of words has n * scale units.
    """
    names = [f"gopher_top_{n}_gram" for n in _TOP] + [f"gopher_duplicate_{n}_grams" for n in _DUPLICATE]
    shares = dict.fromkeys(names, 0.0)
    if len(units) < 2:
        return shares
    numbers: defaultdict[str, int] = defaultdict(count().__next__)  # of each unit, by its first place
    ids = np.fromiter(map(numbers.__getitem__, units), dtype=np.int64, count=len(units))
    lengths = np.fromiter(map(len, units), dtype=np.int64, count=len(units))
    total = int(lengths.sum())
    positions, codes = np.arange(len(ids)), ids
    for size in range(2, 10 * scale + 1):
        positions, order, repeats = _sort_ngrams(ids, positions, codes, size, len(numbers))
        if not repeats.any():
            break
        n, rest = divmod(size, scale)
        if not rest and n in _TOP:
            shares[f"gopher_top_{n}_gram"] = _top_share(positions[order], repeats, size, lengths) / total
        elif not rest and n in _DUPLICATE:
            shares[f"gopher_duplicate_{n}_grams"] = (
                _count_covered_characters(positions[order[repeats]], size, lengths) / total
            )
        is_repeated = repeats.copy()
        is_repeated[:-1] |= repeats[1:]
        back = np.argsort(order[is_repeated])  # from sort order back to text order
        codes = np.cumsum(~repeats, dtype=np.int64)[is_repeated][back]
        positions = positions[order[is_repeated][back]]
    return shares


def _sort_ngrams(ids: Ints, positions: Ints, codes: Ints, size: int, vocabulary: int) -> tuple[Ints, Ints, Flags]:
    """Sort the n-grams of `size` units that start at `positions`.

    Returns the positions that have room for one, the sort order, and a flag for each sorted n-gram that equals its
    predecessor. The sort key is exact: number of the (n-1)-gram, times the vocabulary size, plus the last unit. Equal
    n-grams stay in text order, so the first occurrence is never flagged.
    """
    positions = positions[: np.searchsorted(positions, len(ids) - size, side="right")]
    wide = codes[: len(positions)] * vocabulary + ids[positions + size - 1]
    if len(ids) < _MAX_UNITS_IN_ONE_KEY:  # key and index in one number: np.sort is faster than np.argsort
        bits = len(ids).bit_length()
        both = np.sort(wide << bits | np.arange(len(wide)))
        ordered, order = both >> bits, both & ((1 << bits) - 1)
    else:
        order = np.argsort(wide, kind="stable")
        ordered = wide[order]
    repeats = np.zeros(len(ordered), dtype=bool)
    np.equal(ordered[1:], ordered[:-1], out=repeats[1:])
    return positions, order, repeats


def _top_share(positions: Ints, repeats: Flags, size: int, lengths: Ints) -> int:
    """Characters in the most common n-gram; among equally common ones, the longest, then the first."""
    starts = np.flatnonzero(~repeats)
    counts = np.diff(np.append(starts, len(repeats)))
    groups = np.flatnonzero(counts == counts.max())
    ends = np.concatenate([[0], np.cumsum(lengths)])
    firsts = positions[starts[groups]]
    best = groups[np.lexsort((firsts, ends[firsts] - ends[firsts + size]))[0]]
    return _count_covered_characters(positions[starts[best] : starts[best] + counts[best]], size, lengths)


def _count_covered_characters(starts: Ints, size: int, lengths: Ints) -> int:
    """Characters of the units in n-grams that start at `starts`; each unit counts once."""
    edges = np.zeros(len(lengths) + 1, dtype=np.int64)
    edges[starts] += 1  # correct because no position occurs twice
    edges[starts + size] -= 1
    return int(lengths[np.cumsum(edges[:-1]) > 0].sum())
