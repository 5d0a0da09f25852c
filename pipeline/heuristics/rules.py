"""Rules: which measurement may not exceed (or fall below) which setting, and the drop reason if it does.

Every filter module lists its rules in a table, and `find_broken_rule` checks them. A page passes a rule whose limit is
None, and a rule whose measurement the page does not have (such as stop words of a language without a list).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipeline.settings import Settings


class HeuristicReason(StrEnum):
    """All drop reasons of filter_heuristics; the value is what the ledger shows."""

    CORRECTED_TOO_MUCH = "corrected_too_much"
    TOO_FEW_WORDS = "too_few_words"
    TOO_MANY_WORDS = "too_many_words"
    WORDS_TOO_SHORT = "words_too_short"
    WORDS_TOO_LONG = "words_too_long"
    TOO_MANY_HASHES = "too_many_hashes"
    TOO_MANY_ELLIPSES = "too_many_ellipses"
    TOO_MANY_BULLETS = "too_many_bullets"
    TOO_MANY_ELLIPSIS_LINES = "too_many_ellipsis_lines"
    TOO_FEW_ALPHABETIC_WORDS = "too_few_alphabetic_words"
    TOO_FEW_STOP_WORDS = "too_few_stop_words"
    DUPLICATE_LINES = "duplicate_lines"
    DUPLICATE_LINE_CHARACTERS = "duplicate_line_characters"
    DUPLICATE_PARAGRAPHS = "duplicate_paragraphs"
    DUPLICATE_PARAGRAPH_CHARACTERS = "duplicate_paragraph_characters"
    TOP_2_GRAM = "top_2_gram"
    TOP_3_GRAM = "top_3_gram"
    TOP_4_GRAM = "top_4_gram"
    DUPLICATE_5_GRAMS = "duplicate_5_grams"
    DUPLICATE_6_GRAMS = "duplicate_6_grams"
    DUPLICATE_7_GRAMS = "duplicate_7_grams"
    DUPLICATE_8_GRAMS = "duplicate_8_grams"
    DUPLICATE_9_GRAMS = "duplicate_9_grams"
    DUPLICATE_10_GRAMS = "duplicate_10_grams"
    LOREM_IPSUM = "lorem_ipsum"
    CURLY_BRACKETS = "curly_brackets"
    TOO_FEW_SENTENCES = "too_few_sentences"
    TOO_MANY_CHARACTERS = "too_many_characters"
    TOO_FEW_PUNCTUATED_LINES = "too_few_punctuated_lines"
    REPEATED_LINE_CHARACTERS = "repeated_line_characters"
    TOO_MANY_SHORT_LINES = "too_many_short_lines"
    TOO_MANY_LINES = "too_many_lines"
    UNUSUAL_WORDS = "unusual_words"
    HARMFUL_WORDS = "harmful_words"


@dataclass(frozen=True, slots=True)
class Rule:
    """The measurement `signal` must not exceed (`at_least`: fall below) the limit in the settings field `setting`."""

    reason: HeuristicReason
    signal: str
    setting: str
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that a page breaks, with the measured value and the limit."""

    reason: HeuristicReason
    signal: str
    value: float
    limit: float


def find_broken_rule(rules: Iterable[Rule], signals: Mapping[str, float], settings: Settings) -> BrokenRule | None:
    """The first broken rule in the order of `rules`, None where the page passes them all."""
    for rule in rules:
        limit = getattr(settings, rule.setting)
        value = signals.get(rule.signal)
        if limit is not None and value is not None and (value < limit if rule.at_least else value > limit):
            return BrokenRule(rule.reason, rule.signal, value, float(limit))
    return None
