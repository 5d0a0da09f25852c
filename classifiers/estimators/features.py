"""Text features, computed by the same functions in training and in scoring.

A change of any returned value needs a new FEATURE_VERSION: models of another version are refused. The models of a page
share most of their features: `read_text` keeps those of the last text, so that each is computed once a page.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import filterfalse

import numpy as np
from numpy.typing import NDArray

from classifiers.estimators.function_words import FUNCTION_WORDS
from classifiers.estimators.word_counts import Parts, WordCounts

FEATURE_VERSION = 3
MAX_CHARACTERS = 10_000  # read at the start of a text; enough to classify a page

# Marks at the beginning of a line, links, marks within a line. First the set of characters with which each may begin:
# the search skips all others in one fast loop.
_MARKUP = re.compile(
    r"[\n!\[`*|~](?:(?<=\n)(?:[ \t]*(?:#{1,6}|[-*+•>|])[ \t]*|[ \t|:-]+$)"
    r"|(?<=\[)([^\]\n]*)\]\([^)\s]*\)|(?<=!)\[([^\]\n]*)\]\([^)\s]*\)|(?<=[`*|~])[`*|~]*)",
    re.MULTILINE,
)
# A word of a spaced script, or one ideograph or syllable of a script that writes without spaces.
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_TOKEN = re.compile(rf"[^\W_{_CJK}]++(?:['’][^\W_{_CJK}]++)*+|[.,;:!?…()\"“”«»/#@$€£%&=+<>]|[{_CJK}]")
_WORD = re.compile(rf"[^\W\d_{_CJK}]++|[{_CJK}]")
_PAIR = re.compile(rf"(?=([{_CJK}]{{2}}))")
_FIRST_CJK = "\u0e00"  # the words of all other scripts come before it, or hold no pair
_DIGIT = re.compile(r"\d")
_TERMINAL = tuple(".!?…。！？\"”»'’)")


def one_line(text: str) -> str:
    """The text on one line, as fastText needs it."""
    return " ".join(text.split())


def _keep_text(markup: re.Match[str]) -> str:
    """What stays of markup: the text of a link, and the line break before the marks of a line."""
    return "\n" if markup[0][0] == "\n" else markup[1] or markup[2] or ""


class ReadText:
    """The beginning of a text as the models read it, without marks of structure."""

    def __init__(self, text: str) -> None:
        self.beginning = text[:MAX_CHARACTERS]

    @cached_property
    def head(self) -> str:
        """The beginning in Unicode's compatibility form, without markup."""
        return _MARKUP.sub(_keep_text, "\n" + unicodedata.normalize("NFKC", self.beginning))[1:]

    @cached_property
    def lowered(self) -> str:
        return self.head.lower()

    @cached_property
    def style(self) -> WordCounts:
        """Lower-case words and punctuation with digits as 0."""
        counts = WordCounts(_TOKEN.findall(self.lowered))
        for token in list(filterfalse(str.isalpha, counts)):  # few; the others stay as they are
            zeros = _DIGIT.sub("0", token)
            if zeros != token:
                counts[zeros] += counts.pop(token)
        return counts

    @cached_property
    def words(self) -> WordCounts:
        """Lower-case words without digits."""
        counts = WordCounts(self.style)
        for token in filterfalse(str.isalpha, self.style):
            count = counts.pop(token)
            for word in _WORD.findall(token):
                counts[word] += count
        return counts

    @cached_property
    def topic(self) -> WordCounts:
        """First PREFIX letters of each word that is no function word."""
        counts: dict[str, int] = {}  # a Counter takes longer for each new word
        for word, count in self.words.items():
            if word not in FUNCTION_WORDS:
                counts[word[:PREFIX]] = counts.get(word[:PREFIX], 0) + count
        return WordCounts(counts)

    @cached_property
    def pairs(self) -> WordCounts:
        """Neighbors in scripts that write without spaces, where most words are two characters long."""
        if max(self.words, default="") < _FIRST_CJK:  # a hundred times as fast as to look for them
            return WordCounts()
        return WordCounts(_PAIR.findall(self.lowered))


@lru_cache(maxsize=1)
def read_text(text: str) -> ReadText:
    """The features of a text; those of the last text are kept."""
    return ReadText(text)


PREFIX = 5  # letters of a word that are kept: a stemmer for every alphabet ("elections" and "electoral" are equal)


def style_counts(text: str) -> WordCounts:
    """Lower-case words and punctuation with digits as 0: the words of the quality and education models."""
    return read_text(text).style


def topic_words(text: str) -> Parts:
    """First PREFIX letters of each word that is no function word."""
    return [read_text(text).topic]


def topic_parts(title: str, text: str) -> Parts:
    """`topic_words`, those of the title twice, and pairs of neighbors in scripts without spaces, the title's twice.

    The words of the URL are left out: accuracy on unseen domains with and without them was .671 and .667.
    """
    page, heading = read_text(text), ReadText(title[:300])
    words = _WORD.findall(unicodedata.normalize("NFKC", heading.beginning).lower())
    of_title = [word[:PREFIX] for word in words if word not in FUNCTION_WORDS] + list(heading.pairs.elements())
    return [page.topic, *filter(None, (page.pairs, WordCounts(2 * of_title)))]


def kind_parts(title: str, text: str, url: str = "", signals: Mapping[str, float] | None = None) -> Parts:
    """The words of a text and its title, words for the page's shape (shares of code fences, tables, lists, long and
    short lines), for the URL, and for what the extraction says of the page.

    URL and extraction raise the accuracy on unseen domains from .685 to .706.
    """
    page = read_text(text)
    others = WordCounts(ReadText(title[:300]).style)
    others.update([*_shape(page.beginning), *_url_words(url), *_page_words(signals or {})])
    return [page.style, others]


_URL_WORD = re.compile(r"[^\W\d_]{2,}")
_URL_CHARACTERS = 200
_NGRAM = 4  # letters: "tennismagazin" has no space


def _url_words(url: str) -> list[str]:
    """Marked beginnings of the words of a URL, and runs of letters of its host, which writes words together."""
    host, _, path = url[:_URL_CHARACTERS].lower().partition("://")[2].partition("/")
    words = [f"url:{word[:PREFIX]}" for word in _URL_WORD.findall(path)]
    for label in host.removeprefix("www.").split("."):
        words += [f"host:{label[i : i + _NGRAM]}" for i in range(max(len(label) - _NGRAM, 0) + 1)]
    return words if host else []


def _page_words(signals: Mapping[str, float]) -> list[str]:
    """The page's type and the certainty of its extraction as words; none where only text is known."""
    if not signals.get("page_type"):
        return []
    return [f"shapepage{int(signals['page_type'])}", f"shapecertain{int(5 * signals.get('expected_f1', 0))}"] * 2


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
    characters = _count_characters(page.head)
    count = max(sum(page.words.values()), 1)
    first = _first_words(page.lowered)
    lines = [line.strip() for line in page.head.splitlines() if line.strip()]
    length = max(sum(map(len, lines)), 1)
    letters = max(_count(characters, str.isalpha), 1)
    sentences = sum(characters.get(mark, 0) for mark in ".!?。！？")
    return np.array(
        [
            sum(number for word, number in page.words.items() if word in FUNCTION_WORDS) / count,
            len(FUNCTION_WORDS.intersection(first[:100])) / max(len(first[:100]), 1),
            sum(len(line) for line in lines if line.endswith(_TERMINAL)) / length,
            math.log1p(count / max(len(lines), 1)),
            math.log1p(count / max(sentences, 1)) if sentences else math.log1p(min(count, 100)),
            sum(characters.get(mark, 0) for mark in ",，、") / count,
            len(set(first)) / max(len(first), 1),
            _count(characters, str.isdigit) / length,
            _count(characters, str.isupper) / letters,
            _count(characters, _is_mark) / length,
            characters.get("!", 0) / count,
            sum(number * len(word) for word, number in page.words.items()) / count,
        ]
    )


SHAPE = (
    "cut_line_share",  # lines that end in an ellipsis: teasers
    "repeated_phrase_share",  # of three words, among the first: templates and keyword text
    "code_share",  # of characters, between fences
    "short_line_share",  # below 40 characters
)
_PHRASE_CHARACTERS = 6_000


@lru_cache(maxsize=1)
def shape(text: str) -> tuple[float, ...]:
    """The values of SHAPE for one text; none grows with the length of the text, but for repeated phrases. Those of the
    last text are kept, because two models read them."""
    page = read_text(text)
    lines = [line for line in map(str.strip, page.beginning.splitlines()) if line]
    count, length = max(len(lines), 1), max(sum(map(len, lines)), 1)
    code, inside = 0, False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        elif inside:
            code += len(line)
    words = page.lowered[:_PHRASE_CHARACTERS].split()
    phrases = list(zip(words, words[1:], words[2:], strict=False))
    return (
        sum(line.endswith(("…", "...")) for line in lines) / count,
        (len(phrases) - len(set(phrases))) / max(len(phrases), 1),
        code / length,
        sum(len(line) < 40 for line in lines) / count,
    )


_FIRST_CHARACTERS = (1_500, 2_500)  # in which the first 200 words are looked for: most texts have them in the fewer


def _first_words(lowered: str) -> list[str]:
    """The first 200 words; the last of the fewer characters may be a part of one."""
    words: list[str] = []
    for characters in _FIRST_CHARACTERS:
        if len(words) <= 200:
            words = _WORD.findall(lowered[:characters])
    return words[:200]


def _count_characters(text: str) -> dict[str, int]:
    """Occurrences of each character; ten times as fast as a Counter."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    counts = np.bincount(codes, minlength=1)
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts).tolist()}


def _count(characters: Mapping[str, int], has_property: Callable[[str], bool]) -> int:
    """Characters with a property, asked once for each different one."""
    return sum(count for character, count in characters.items() if has_property(character))


def _is_mark(character: str) -> bool:
    return not (character.isalnum() or character.isspace() or character in ".,;:!?'\"()-–—’“”")


def statistics_table(texts: Sequence[str]) -> NDArray[np.float64]:
    """One row of STATISTICS a text."""
    return np.array([statistics(text) for text in texts]).reshape(len(texts), len(STATISTICS))
