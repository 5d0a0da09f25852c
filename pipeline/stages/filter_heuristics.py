"""filter_heuristics: correct lines, then apply page rules. Each family of rules is a module in pipeline/heuristics/.

First the lines are corrected: RefinedWeb's rules, then C4's. Then every family measures the corrected text, and all
measurements become signals whether or not a rule is broken. Then the rules are checked in the order of `FAMILIES`: the
first broken one is the reason of the drop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline import effects
from pipeline.documents import Document, Dropped
from pipeline.heuristics import c4, distribution, fineweb, gopher, harmful_words, refinedweb
from pipeline.heuristics.c4 import C4Settings
from pipeline.heuristics.distribution import DistributionSettings
from pipeline.heuristics.fineweb import FineWebSettings
from pipeline.heuristics.gopher import GopherSettings
from pipeline.heuristics.harmful_words import HarmfulWordsSettings
from pipeline.heuristics.refinedweb import RefinedWebSettings
from pipeline.heuristics.rules import BrokenRule, HeuristicReason, find_broken_rule
from pipeline.heuristics.text_parts import TextParts, split_text
from pipeline.markdown_signs import close_break, plain_lines, replace_words
from pipeline.settings import Settings

NAME = "filter_heuristics"
REASONS = HeuristicReason
FAMILIES = {
    "refinedweb": refinedweb.RULES,
    "gopher": gopher.RULES,
    "c4": c4.RULES,
    "fineweb": fineweb.RULES,
    "distribution": distribution.RULES,
    "harmful_words": harmful_words.RULES,
}
SIGNALS: tuple[str, ...] = (
    *refinedweb.SIGNALS,
    *gopher.SIGNALS,
    *c4.SIGNALS,
    *fineweb.SIGNALS,
    *distribution.SIGNALS,
    *harmful_words.SIGNALS,
)


class FilterHeuristicsSettings(Settings):
    """One table for each family of rules; a limit that is "off" turns its rule off."""

    refinedweb: RefinedWebSettings = RefinedWebSettings()
    gopher: GopherSettings = GopherSettings()
    c4: C4Settings = C4Settings()
    fineweb: FineWebSettings = FineWebSettings()
    distribution: DistributionSettings = DistributionSettings()
    harmful_words: HarmfulWordsSettings = HarmfulWordsSettings()


def build(settings: FilterHeuristicsSettings) -> Callable[[Document], Document | Dropped]:
    """Check the word lists. Raises UserError for one that cannot be read."""
    harmful_words.check_lists(settings.harmful_words)

    def filter_heuristics(document: Document) -> Document | Dropped:
        text, signals = correct(document.text, document.language, settings)
        signals |= measure(text, document.language, settings)
        document = replace(document, text=text).with_signals(**signals)
        broken = _find_broken_rule(signals, settings)
        if broken is None:
            return document
        return Dropped(document, NAME, broken.reason, broken.value, broken.limit, detail=broken.signal)

    return filter_heuristics


def files(settings: FilterHeuristicsSettings) -> list[Path]:
    """The reference distributions of words and the lists of harmful words."""
    lists = settings.harmful_words
    tables, words = (effects.find_files(str(folder), ".txt") for folder in (distribution.REFERENCE_FOLDER, lists.lists))
    return [*map(Path, tables), *map(Path, words), lists.everyday]


def correct(text: str, language: str, settings: FilterHeuristicsSettings) -> tuple[str, dict[str, float]]:
    """The text with corrected lines, and signals of how much was removed. Code, tables and blank lines stay."""
    page = split_text(text, language)
    headings = c4.find_headings(page, settings.c4)
    corrected, signals = refinedweb.correct_lines(page, settings.refinedweb, headings)
    after = c4.correct_lines(page, corrected, settings.c4, headings)
    removed = sum(line is None for line in after) - sum(line is None for line in corrected)
    return _replace_lines(text, page, after), signals | {"c4_removed_lines": float(removed)}


def measure(text: str, language: str, settings: FilterHeuristicsSettings) -> dict[str, float]:
    """Every measurement of a text, by signal."""
    page = split_text(text, language)
    return {
        **gopher.measure(page, settings.gopher),
        **c4.measure(page),
        **fineweb.measure(page),
        **distribution.measure(page),
        **harmful_words.measure(page, settings.harmful_words),
    }


def _find_broken_rule(signals: Mapping[str, float], settings: FilterHeuristicsSettings) -> BrokenRule | None:
    for family, rules in FAMILIES.items():
        if broken := find_broken_rule(rules, signals, getattr(settings, family)):
            return broken
    return None


def _replace_lines(text: str, page: TextParts, lines: list[str | None]) -> str:
    """The text with its lines replaced (None: removed); unchanged if no line changed. Signs of Markdown stay."""
    if lines == page.lines:
        return text
    replacements = iter(zip(page.lines, lines, strict=True))
    pieces: list[str] = []
    was_removed = False
    for raw, plain in plain_lines(text):
        if not plain:
            if was_removed:
                close_break(pieces)
            pieces.append(raw)
            continue
        old, new = next(replacements)
        was_removed = new is None
        if new is not None:
            has_signs = plain != raw.strip()
            pieces.append(raw if new == old else replace_words(raw, old, new) if has_signs else new)
    if was_removed:
        close_break(pieces)
    return _remove_wide_gaps("\n".join(pieces))


def _remove_wide_gaps(text: str) -> str:
    """At most one blank line between paragraphs where lines were removed; blank lines inside code blocks are kept."""
    pieces: list[str] = []
    fenced = False
    for line in text.strip("\n").split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if line.strip() or fenced or (pieces and pieces[-1].strip()):
            pieces.append(line)
    return "\n".join(pieces).rstrip()
