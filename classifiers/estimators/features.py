"""Text features, computed by the same functions in training and in scoring.

A change of any returned value needs a new FEATURE_VERSION: models of another version are refused. The models of a page
share most of their features: `read_text` keeps those of the last text, so that each is computed once a page.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from classifiers.estimators.function_words import FUNCTION_WORDS

FEATURE_VERSION = 1
MAX_CHARACTERS = 20_000  # read at the start of a text; enough to classify a page

_MARKUP = re.compile(
    r"!?\[([^\]\n]*)\]\([^)\s]*\)|^[ \t]*(?:#{1,6}|[-*+•>]|\|)[ \t]*|[`*|~]+|^[ \t|:-]+$", re.MULTILINE
)
# A word of a spaced script, or one ideograph or syllable of a script that writes without spaces.
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*|[.,;:!?…()\"“”«»/#@$€£%&=+<>]")
_WORD = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]+")
_DIGIT = re.compile(r"\d")
_TERMINAL = tuple(".!?…。！？\"”»'’)")


def one_line(text: str) -> str:
    """The text on one line, as fastText needs it."""
    return " ".join(text.split())


class ReadText:
    """The beginning of a text as the models read it, without marks of structure."""

    def __init__(self, text: str) -> None:
        self.beginning = text[:MAX_CHARACTERS]

    @cached_property
    def head(self) -> str:
        """The beginning in Unicode's compatibility form, without markup."""
        return _MARKUP.sub(lambda found: found.group(1) or "", unicodedata.normalize("NFKC", self.beginning))

    @cached_property
    def lowered(self) -> str:
        return self.head.lower()

    @cached_property
    def style(self) -> str:
        return _DIGIT.sub("0", " ".join(_TOKEN.findall(self.lowered)))

    @cached_property
    def words(self) -> list[str]:
        """Lower-case words without digits."""
        return _WORD.findall(self.lowered)

    @property
    def lowers_word_by_word(self) -> bool:
        """Whether each word alone has the same lower case as in the text: two letters depend on their neighbors."""
        return "Σ" not in self.head and "İ" not in self.head

    @cached_property
    def topic(self) -> list[str]:
        """First PREFIX letters of each word that is no function word."""
        return [word[:PREFIX] for word in self.words if word not in FUNCTION_WORDS]


@lru_cache(maxsize=1)
def read_text(text: str) -> ReadText:
    """The features of a text; those of the last text are kept."""
    return ReadText(text)


def style_line(text: str) -> str:
    """Lower-case words and punctuation with digits as 0: the input of the quality model."""
    return read_text(text).style


PREFIX = 5  # letters of a word that are kept: a stemmer for every alphabet ("elections" and "electoral" are equal)


def topic_line(title: str, text: str) -> str:
    """First PREFIX letters of each word, the title's words twice; without digits, punctuation and function words."""
    head = [word[:PREFIX] for word in _words_of_title(title) if word not in FUNCTION_WORDS]
    return " ".join([*head, *head, *read_text(text).topic])


def _words_of_title(title: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", title[:300]).lower())


def kind_line(title: str, text: str) -> str:
    """`style_line` after words for the page's shape (shares of code fences, tables, lists, long and short lines)."""
    page = read_text(text)
    return " ".join([*_shape(page.beginning), ReadText(title[:300]).style, page.style])


def _shape(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    count = max(len(lines), 1)
    shares = {
        "fence": 10 * sum(line.startswith("```") for line in lines) / count,
        "table": sum(line.lstrip().startswith("|") for line in lines) / count,
        "list": sum(line.lstrip().startswith(("- ", "* ", "• ")) for line in lines) / count,
        "heading": 4 * sum(line.startswith("#") for line in lines) / count,
        "long": sum(len(line) > 200 for line in lines) / count,
        "short": sum(len(line) < 40 for line in lines) / count,
    }
    return [f"shape{name}{min(int(4 * share + 0.99), 4)}" for name, share in shares.items()]


STATISTICS = (
    "function_word_share",  # running text is a third to a half function words, lists and menus have few
    "function_word_kinds",  # distinct ones among the first 100 words
    "sentence_line_share",  # of characters, in lines that end like a sentence
    "words_per_line",  # logarithm
    "sentence_length",  # logarithm of words per sentence mark
    "comma_share",  # commas per word: subordinate clauses and enumerations
    "distinct_word_share",  # of the first 200 words
    "digit_share",
    "upper_share",
    "mark_share",  # characters that are neither letter, digit, space nor usual punctuation
    "exclamation_share",
    "mean_word_length",
)


def statistics(text: str) -> NDArray[np.float64]:
    """The values of STATISTICS for one text; none grows with the length of the text."""
    page = read_text(text)
    head, characters = page.head, Counter(page.head)
    words = page.words if page.lowers_word_by_word else [word.lower() for word in _WORD.findall(head)]
    count = max(len(words), 1)
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    length = max(sum(map(len, lines)), 1)
    letters = max(_count(characters, str.isalpha), 1)
    sentences = sum(characters[mark] for mark in ".!?。！？")
    return np.array(
        [
            sum(map(FUNCTION_WORDS.__contains__, words)) / count,
            len(FUNCTION_WORDS.intersection(words[:100])) / min(count, 100),
            sum(len(line) for line in lines if line.endswith(_TERMINAL)) / length,
            np.log1p(count / max(len(lines), 1)),
            np.log1p(count / max(sentences, 1)) if sentences else np.log1p(min(count, 100)),
            sum(characters[mark] for mark in ",，、") / count,
            len(set(words[:200])) / min(count, 200),
            _count(characters, str.isdigit) / length,
            _count(characters, str.isupper) / letters,
            _count(characters, _is_mark) / length,
            characters["!"] / count,
            sum(map(len, words)) / count,
        ]
    )


def _count(characters: Counter[str], has_property: Callable[[str], bool]) -> int:
    """Characters with a property, asked once for each different one."""
    return sum(count for character, count in characters.items() if has_property(character))


def _is_mark(character: str) -> bool:
    return not (character.isalnum() or character.isspace() or character in ".,;:!?'\"()-–—’“”")


def statistics_table(texts: Sequence[str]) -> NDArray[np.float64]:
    """One row of STATISTICS a text."""
    return np.array([statistics(text) for text in texts]).reshape(len(texts), len(STATISTICS))
