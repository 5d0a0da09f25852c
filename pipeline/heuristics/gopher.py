"""Gopher's quality and repetition rules: Rae et al. 2021 (arXiv 2112.11446), section A.1 and table A1.

Ours where the renderings differ: words are runs of letters and digits (no punctuation tokens), word length is their
mean, stop words are distinct ones. Repetition is of prose. A duplicate is what was there before: the first occurrence
does not count. Shares are of the words' characters; characters under several n-grams count once, so every share lies in
[0, 1]. Codes of n-grams are exact (no hashing), and only positions whose (n-1)-gram is repeated are looked at again.

Word length and stop words are English facts. The bounds on length are not applied to Korean, Vietnamese or languages
without spaces, the upper one is raised for languages that join words. Stop words elsewhere are those of the language's
reference table with a share of 0.8% or more, eight at least; languages without a table are not asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import pipeline.settings
from pipeline.heuristics.distribution import reference
from pipeline.heuristics.rules import Reason, Rule
from pipeline.heuristics.text_parts import Parts
from pipeline.text import MARKS

ENGLISH_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})  # Gopher's eight
_STOP_WORD_SHARE = 0.008
_LETTER = re.compile(rf"[^\W\d_]|[{MARKS}]")
_SIGN = re.compile(r"(?<!\S)[^\w\s]+(?!\S)")
_NO_MEAN_LENGTH = frozenset({"ko", "vi"})  # syllable blocks and syllables: three characters is a long word
_LONG_WORDS = frozenset(
    {"fi", "et", "hu", "tr", "de", "ml", "ta", "te", "kn", "el", "ru", "uk", "kk", "mn", "eu", "is", "ka"}
)
_ENOUGH_PROSE = 50  # words; with less, the rules about words are not asked
_TOP = (2, 3, 4)
_DUPLICATE = (5, 6, 7, 8, 9, 10)
_SORTS_BY_VALUE = 1_000_000  # units; its third power still fits 64 bits

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Settings(pipeline.settings.Settings):
    """Limits of table A1 and section A.1.1; "off" lets a rule through."""

    min_words: float | None = Field(50, ge=0)
    max_words: float | None = Field(100_000, ge=0)
    min_mean_word_length: float | None = Field(3, ge=0)
    max_mean_word_length: float | None = Field(10, ge=0)
    max_mean_word_length_joining: float | None = Field(13, ge=0)  # ours, for languages that join words
    max_hash_ratio: float | None = Field(0.1, ge=0)  # "#" to words
    max_ellipsis_ratio: float | None = Field(0.1, ge=0)  # "..." and "…" to words
    max_bullet_lines: float | None = Field(0.9, ge=0, le=1)
    max_ellipsis_lines: float | None = Field(0.3, ge=0, le=1)
    min_alphabetic_words: float | None = Field(0.8, ge=0, le=1)
    min_stop_words: int | None = Field(2, ge=0)
    max_duplicate_lines: float | None = Field(0.30, ge=0, le=1)
    max_duplicate_line_characters: float | None = Field(0.20, ge=0, le=1)
    skip_paragraphs: bool = False  # for extractors that do not part lines from paragraphs (DCLM)
    max_duplicate_paragraphs: float | None = Field(0.30, ge=0, le=1)
    max_duplicate_paragraph_characters: float | None = Field(0.20, ge=0, le=1)
    max_top_2_gram: float | None = Field(0.20, ge=0, le=1)
    max_top_3_gram: float | None = Field(0.18, ge=0, le=1)
    max_top_4_gram: float | None = Field(0.16, ge=0, le=1)
    max_duplicate_5_grams: float | None = Field(0.15, ge=0, le=1)
    max_duplicate_6_grams: float | None = Field(0.14, ge=0, le=1)
    max_duplicate_7_grams: float | None = Field(0.13, ge=0, le=1)
    max_duplicate_8_grams: float | None = Field(0.12, ge=0, le=1)
    max_duplicate_9_grams: float | None = Field(0.11, ge=0, le=1)
    max_duplicate_10_grams: float | None = Field(0.10, ge=0, le=1)


RULES: tuple[Rule, ...] = (
    Rule(Reason.TOO_FEW_WORDS, "gopher_words", "min_words", at_least=True),
    Rule(Reason.TOO_MANY_WORDS, "gopher_words", "max_words"),
    Rule(Reason.WORDS_TOO_SHORT, "gopher_mean_word_length", "min_mean_word_length", at_least=True),
    Rule(Reason.WORDS_TOO_LONG, "gopher_mean_word_length", "max_mean_word_length"),
    Rule(Reason.WORDS_TOO_LONG, "gopher_mean_word_length_joining", "max_mean_word_length_joining"),
    Rule(Reason.TOO_MANY_HASHES, "gopher_hash_ratio", "max_hash_ratio"),
    Rule(Reason.TOO_MANY_ELLIPSES, "gopher_ellipsis_ratio", "max_ellipsis_ratio"),
    Rule(Reason.TOO_MANY_BULLETS, "gopher_bullet_lines", "max_bullet_lines"),
    Rule(Reason.TOO_MANY_ELLIPSIS_LINES, "gopher_ellipsis_lines", "max_ellipsis_lines"),
    Rule(Reason.TOO_FEW_ALPHABETIC_WORDS, "gopher_alphabetic_words", "min_alphabetic_words", at_least=True),
    Rule(Reason.TOO_FEW_STOP_WORDS, "gopher_stop_words", "min_stop_words", at_least=True),
    Rule(Reason.DUPLICATE_LINES, "gopher_duplicate_lines", "max_duplicate_lines"),
    Rule(Reason.DUPLICATE_LINE_CHARACTERS, "gopher_duplicate_line_characters", "max_duplicate_line_characters"),
    Rule(Reason.DUPLICATE_PARAGRAPHS, "gopher_duplicate_paragraphs", "max_duplicate_paragraphs"),
    Rule(
        Reason.DUPLICATE_PARAGRAPH_CHARACTERS,
        "gopher_duplicate_paragraph_characters",
        "max_duplicate_paragraph_characters",
    ),
    *(Rule(Reason[f"TOP_{n}_GRAM"], f"gopher_top_{n}_gram", f"max_top_{n}_gram") for n in _TOP),
    *(
        Rule(Reason[f"DUPLICATE_{n}_GRAMS"], f"gopher_duplicate_{n}_grams", f"max_duplicate_{n}_grams")
        for n in _DUPLICATE
    ),
)
SIGNALS: tuple[str, ...] = tuple(dict.fromkeys(rule.signal for rule in RULES))


@cache
def stop_words(language: str) -> frozenset[str]:
    """The words that any prose of the language has; empty where nobody knows."""
    if language == "en":
        return ENGLISH_STOP_WORDS
    ranked = sorted((reference(language) or {}).items(), key=lambda item: (-item[1], item[0]))
    common = [word for word, share in ranked if share >= _STOP_WORD_SHARE]
    return frozenset(common if len(common) >= 8 else [word for word, _ in ranked[:8]])


def measure(page: Parts, settings: Settings) -> dict[str, float]:
    """All measurements that make sense for the page."""
    return {
        "gopher_words": page.all_words,
        **_lines(page),
        **(_words(page) if page.prose_words >= _ENOUGH_PROSE else {}),
        **_duplicates(page.prose, "line"),
        **({} if settings.skip_paragraphs else _duplicates(page.paragraphs, "paragraph")),
        **ngram_shares(page.units, page.characters_per_word or 1),
    }


def _words(page: Parts) -> dict[str, float]:
    """Rules about words are asked of pages with enough prose; a page of code or tables alone has none."""
    text = page.prose_text
    signals = {
        "gopher_hash_ratio": text.count("#") / page.prose_words,
        "gopher_ellipsis_ratio": (text.count("...") + text.count("…")) / page.prose_words,
        "gopher_alphabetic_words": _alphabetic(page),
    }
    if not page.characters_per_word and page.language not in _NO_MEAN_LENGTH:
        mean = sum(map(len, page.words)) / len(page.words)
        name = "gopher_mean_word_length_joining" if page.language in _LONG_WORDS else "gopher_mean_word_length"
        signals[name] = mean
    common = stop_words(page.language)
    if common and not page.characters_per_word:
        signals["gopher_stop_words"] = float(len(common & page.vocabulary))
    return signals


def _alphabetic(page: Parts) -> float:
    """Share of the words with a letter; signs that stand alone are words without (the dash of a list item is none)."""
    doubtful = [unit for unit in page.units if not unit.isalpha()]
    letters = len(page.units) - sum(_LETTER.search(unit) is None for unit in doubtful)
    text = page.prose_text
    signs = len(_SIGN.findall(text)) - text.count("\n- ") - text.startswith("- ")
    return letters / (len(page.units) + max(0, signs))


def _lines(page: Parts) -> dict[str, float]:
    lines = page.prose
    if not lines:
        return {}
    return {
        "gopher_bullet_lines": sum(line.startswith(("•", "-")) for line in lines) / len(lines),
        "gopher_ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / len(lines),
    }


def _duplicates(pieces: Sequence[str], what: str) -> dict[str, float]:
    """Shares of pieces, and of their characters, that were on the page before."""
    if not pieces:
        return {}
    seen: set[str] = set()
    repeated = characters = 0
    for piece in pieces:
        if piece in seen:
            repeated += 1
            characters += len(piece)
        seen.add(piece)
    return {
        f"gopher_duplicate_{what}s": repeated / len(pieces),
        f"gopher_duplicate_{what}_characters": characters / sum(map(len, pieces)),
    }


def ngram_shares(units: Sequence[str], scale: int = 1) -> dict[str, float]:
    """Characters under the commonest 2- to 4-gram, and under repeated 5- to 10-grams, of all characters of the units.

    `scale` units make a word: an n-gram has n * scale of them.
    """
    names = [f"gopher_top_{n}_gram" for n in _TOP] + [f"gopher_duplicate_{n}_grams" for n in _DUPLICATE]
    shares = dict.fromkeys(names, 0.0)
    if len(units) < 2:
        return shares
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(unit, len(numbers)) for unit in units], dtype=np.int64)
    lengths = np.fromiter(map(len, units), dtype=np.int64, count=len(units))
    total = int(lengths.sum())
    positions, codes = np.arange(len(ids)), ids
    for size in range(2, 10 * scale + 1):
        positions, order, repeats = _sorted(ids, positions, codes, size, len(numbers))
        if not repeats.any():
            break
        n, rest = divmod(size, scale)
        if not rest and n in _TOP:
            shares[f"gopher_top_{n}_gram"] = _top_share(positions[order], repeats, size, lengths) / total
        elif not rest and n in _DUPLICATE:
            shares[f"gopher_duplicate_{n}_grams"] = _covered(positions[order[repeats]], size, lengths) / total
        often = repeats.copy()
        often[:-1] |= repeats[1:]
        back = np.argsort(order[often])  # from the order of codes to that of the text
        codes = np.cumsum(~repeats, dtype=np.int64)[often][back]
        positions = positions[order[often][back]]
    return shares


def _sorted(ids: Ints, positions: Ints, codes: Ints, size: int, vocabulary: int) -> tuple[Ints, Ints, Flags]:
    """n-grams of `size` units that start at `positions`, sorted: their order, and which are like the one before.

    A code is exact: the number of the (n-1)-gram, times the vocabulary, plus the last unit. Equal n-grams stay in the
    order of the text, so the first of them is never a repeat.
    """
    positions = positions[: np.searchsorted(positions, len(ids) - size, side="right")]
    wide = codes[: len(positions)] * vocabulary + ids[positions + size - 1]
    if len(ids) < _SORTS_BY_VALUE:  # code and place in one number: sorting values is quicker than sorting places
        ordered, order = np.divmod(np.sort(wide * len(ids) + np.arange(len(wide))), len(ids))
    else:
        order = np.argsort(wide, kind="stable")
        ordered = wide[order]
    repeats = np.zeros(len(ordered), dtype=bool)
    np.equal(ordered[1:], ordered[:-1], out=repeats[1:])
    return positions, order, repeats


def _top_share(positions: Ints, repeats: Flags, size: int, lengths: Ints) -> int:
    """Characters under the commonest n-gram; of equally common ones, under the longest, then the first."""
    starts = np.flatnonzero(~repeats)
    counts = np.diff(np.append(starts, len(repeats)))
    groups = np.flatnonzero(counts == counts.max())
    ends = np.concatenate([[0], np.cumsum(lengths)])
    firsts = positions[starts[groups]]
    best = groups[np.lexsort((firsts, ends[firsts] - ends[firsts + size]))[0]]
    return _covered(positions[starts[best] : starts[best] + counts[best]], size, lengths)


def _covered(starts: Ints, size: int, lengths: Ints) -> int:
    """Characters of the units under n-grams that start at `starts`, each unit counted once."""
    edges = np.zeros(len(lengths) + 1, dtype=np.int64)
    edges[starts] += 1  # no position twice
    edges[starts + size] -= 1
    return int(lengths[np.cumsum(edges[:-1]) > 0].sum())
