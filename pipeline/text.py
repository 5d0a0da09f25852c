"""What a word and a token are: every measure of words in this package, and what each is used for.

- `count_words`: the column `words`, shares and weights, the density of PII finds. Runs between white space.
- `count_most_words`: quick_look, which needs an upper bound. Runs of letters and digits.
- `count_line_words`: filter_heuristics, for the rules of RefinedWeb, C4 and FineWeb. Runs between white space.
- `WORD`: filter_heuristics, for Gopher and the word lists. Letters and digits with inner apostrophes, dots and hyphens.
- `tokenize`: deduplication and the audits of it. Letters and digits, lower case, without accents.

They differ because the published rules differ, and because a stored key must not depend on accents or punctuation.
Scripts without spaces have two rules. `count_words`, `count_most_words` and `tokenize` are given no language and use
the characters in `UNSPACED`. filter_heuristics has the language, and its thresholds were set with the average length of
a word in that language (`CHARACTERS_PER_WORD`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

# Inside a regex class, the scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}]")
# Tibetan has a mark between syllables. Only quick_look, which needs an upper bound, counts it as unspaced.
_UNSPACED_OR_TIBETAN = re.compile(f"[{UNSPACED}\u0f00-\u0fff]")

# By ISO 639 code: Chinese, Japanese, Wu, Cantonese, Thai, Lao, Khmer, Burmese, Tibetan.
CHARACTERS_PER_WORD: Mapping[str, int] = MappingProxyType(
    {"zh": 2, "ja": 2, "wuu": 2, "yue": 2, "th": 4, "lo": 4, "km": 4, "my": 4, "bo": 3}
)
# Combining marks of Latin, Hebrew, Arabic, Indic scripts, Thai, Lao and Tibetan: `\w` does not match them.
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e30-\u0e4e\u0eb0-\u0ecd\u0f71-\u0f84"
WORD = re.compile(rf"[\w{MARKS}]++(?:['’.-][\w{MARKS}]++)*+")

_LETTERS_AND_DIGITS = re.compile(r"\w+")
_TOKEN = re.compile(r"[^\W_]+")
_ASCII_TOKEN = re.compile("[a-z0-9]+")  # two thirds of the time
_TOKEN_RUN = re.compile(f"[{UNSPACED}]+|[^\\W_{UNSPACED}]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
# Beyond Latin, Greek and most of Cyrillic a script may have other combining marks than accents.
_OTHER_SCRIPTS = re.compile("[\u0483-\u1dff\u2c00-\U0010ffff]")

EXCERPT_CHARACTERS = 500
# Spaces, and characters without width: no indentation is wider, and no code has more empty lines in a row.
_MAX_BLANKS, _MAX_EMPTY_LINES = 120, 10
# Unicode's default-ignorable characters, and braille without dots.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# One class of characters: a choice between two takes five times as long.
_BLANK = "".join(filter(str.isspace, map(chr, range(0x3001)))).replace("\n", "")
_WIDE_BLANK = re.compile(rf"[{_BLANK}{_INVISIBLE}]{{{_MAX_BLANKS + 1},}}+")
_EMPTY_LINES = re.compile(rf"\n(?:[{_BLANK}{_INVISIBLE}]*+\n){{{_MAX_EMPTY_LINES + 1},}}+")


def count_words(text: str) -> int:
    """Words between white space; in scripts without spaces two characters are one word.

    >>> count_words("two words"), count_words("两个字的词 and more")
    (2, 5)
    """
    if text.isascii() or not _UNSPACED_CHARACTER.search(text):
        return len(text.split())
    spaced, characters = _UNSPACED_CHARACTER.subn(" ", text)
    return sum(any(map(str.isalnum, word)) for word in spaced.split()) + -(-characters // 2)


def word_count_parts(line: str) -> tuple[int, int, int]:
    """Three numbers of a line, whose sums over the lines of a text give its `count_words` (see `sum_word_counts`).

    Runs between white space; those with a letter or digit, outside unspaced scripts; characters of unspaced scripts.

    >>> word_count_parts("两个字的词 and - more")
    (4, 2, 5)
    """
    spaced, characters = _UNSPACED_CHARACTER.subn(" ", line)
    return len(line.split()), sum(any(map(str.isalnum, word)) for word in spaced.split()), characters


def sum_word_counts(runs: int, words: int, characters: int) -> int:
    """`count_words` of a text from the sums of its lines' parts.

    >>> sum_word_counts(*word_count_parts("两个字的词 and - more")), count_words("两个字的词 and - more")
    (5, 5)
    """
    return words + -(-characters // 2) if characters else runs


def count_most_words(text: str) -> int:
    """Runs of letters and digits: an upper bound for words with a letter or digit, in scripts with spaces.

    >>> count_most_words("don't stop"), count_words("don't stop")
    (3, 2)
    """
    return len(_LETTERS_AND_DIGITS.findall(text))


def has_unspaced_characters(text: str) -> bool:
    """Whether `count_unspaced_characters` is above 0."""
    return not text.isascii() and _UNSPACED_OR_TIBETAN.search(text) is not None


def count_unspaced_characters(text: str) -> int:
    """Characters of scripts in which words are not separated by spaces, Tibetan included."""
    return len(_UNSPACED_OR_TIBETAN.findall(text))


def count_line_words(line: str, characters_per_word: int) -> float:
    """Words of a line in a language with `characters_per_word` (0: a language with spaces).

    >>> count_line_words("it's 3 words", 0), count_line_words("三个词", CHARACTERS_PER_WORD["zh"])
    (3.0, 1.5)
    """
    if characters_per_word:
        return sum(map(len, WORD.findall(line))) / characters_per_word
    return float(len(line.split()))


def tokenize(text: str) -> list[str]:
    """Lower-case words without accents and punctuation; single characters in scripts without spaces.

    >>> tokenize("Déjà-vu, 漢字!")
    ['deja', 'vu', '漢', '字']
    """
    text = text.lower()
    if text.isascii():
        return _ASCII_TOKEN.findall(text)
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    if not _OTHER_SCRIPTS.search(text):
        return _TOKEN.findall(text)
    runs = _TOKEN_RUN.findall(text.translate(_mark_removal_table()))
    return [token for run in runs for token in (run if _UNSPACED_CHARACTER.match(run) else (run,))]


@cache
def _mark_removal_table() -> dict[int, None]:
    """A table for `str.translate` that deletes accents, vowel points and vowel signs of every script."""
    return {i: None for i in range(0x20000) if unicodedata.category(chr(i)).startswith("M")}


def bound_white_space(text: str) -> str:
    """The text with at most 120 spaces or invisible characters in a row, and at most ten empty lines."""
    text = _WIDE_BLANK.sub(lambda run: run[0][:_MAX_BLANKS], text)
    return _EMPTY_LINES.sub("\n" * (_MAX_EMPTY_LINES + 1), text)


def cut_excerpt(text: str) -> str:
    """The first `EXCERPT_CHARACTERS`, cut between words: half of a phone number would not be recognized as one."""
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    return text[: EXCERPT_CHARACTERS + 1].rsplit(None, 1)[0][:EXCERPT_CHARACTERS]
