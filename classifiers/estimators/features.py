"""Text features, computed by the same functions in training and in scoring.

A change of any returned value needs a new FEATURE_VERSION: models of another version are refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

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


def _head(text: str) -> str:
    return _MARKUP.sub(lambda found: found.group(1) or "", unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]))


def style_line(text: str) -> str:
    """Lower-case words and punctuation with digits as 0: the input of the quality model."""
    return " ".join(_DIGIT.sub("0", token) for token in _TOKEN.findall(_head(text).lower()))


PREFIX = 5  # letters of a word that are kept: a stemmer for every alphabet ("elections" and "electoral" are equal)


def topic_line(title: str, text: str) -> str:
    """First PREFIX letters of each word, the title's words twice; without digits, punctuation and function words."""
    body = _WORD.findall(_head(text).lower())
    head = _WORD.findall(unicodedata.normalize("NFKC", title[:300]).lower())
    return " ".join(word[:PREFIX] for word in (*head, *head, *body) if word not in FUNCTION_WORDS)


def kind_line(title: str, text: str) -> str:
    """`style_line` after words for the page's shape (shares of code fences, tables, lists, long and short lines)."""
    return " ".join([*_shape(text[:MAX_CHARACTERS]), style_line(title[:300]), style_line(text)])


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
    head = _head(text)
    words = [word.lower() for word in _WORD.findall(head)]
    count = max(len(words), 1)
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    characters = max(sum(map(len, lines)), 1)
    letters = max(sum(map(str.isalpha, head)), 1)
    function = [word for word in words if word in FUNCTION_WORDS]
    sentences = sum(head.count(mark) for mark in ".!?。！？")
    return np.array(
        [
            len(function) / count,
            len({word for word in words[:100] if word in FUNCTION_WORDS}) / min(count, 100),
            sum(len(line) for line in lines if line.endswith(_TERMINAL)) / characters,
            np.log1p(count / max(len(lines), 1)),
            np.log1p(count / max(sentences, 1)) if sentences else np.log1p(min(count, 100)),
            (head.count(",") + head.count("，") + head.count("、")) / count,
            len(set(words[:200])) / min(count, 200),
            sum(map(str.isdigit, head)) / characters,
            sum(map(str.isupper, head)) / letters,
            sum(1 for c in head if not (c.isalnum() or c.isspace() or c in ".,;:!?'\"()-–—’“”")) / characters,
            head.count("!") / count,
            sum(map(len, words)) / count,
        ]
    )


def statistics_table(texts: Sequence[str]) -> NDArray[np.float64]:
    """One row of STATISTICS a text."""
    return np.array([statistics(text) for text in texts]).reshape(len(texts), len(STATISTICS))
