"""quick_look: pages that cannot come through are sent away before the costly extraction.

The page is opened (parsed, its menus and scripts taken out) and all text that is left is looked at, at a tenth of the
extractor's cost; the extractor goes on with the opened page. The main text is a part of that text, so where the whole
has too few words or sentences, the part has, too. Only the language is a guess: a page that is surely in a language
which nobody wants. Each reason names the later drop that it foresees.

Pages with text inside JSON (the extractor's last resort) are never judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

from pydantic import Field

from classifiers.language import load_language_model
from pipeline.documents import Dropped, Kind, Page
from pipeline.extraction import markup, page_tree
from pipeline.extraction.page_tree import PageTree
from pipeline.settings import Settings
from pipeline.stages.identify_language import Identifier, Languages
from pipeline.text import count_most_words, count_unspaced_characters

NAME = "quick_look"
EXCERPT_CHARACTERS = 2_000
_LANGUAGE_CHARACTERS = 10_000
# Where a sentence may end. More places than true ends: an upper bound is what the argument needs.
_SENTENCE_END = re.compile(r"[.!?…؟۔।։።](?![a-z0-9])|[。！？｡]")
_UNSPACED_SHARE = 0.1  # of the words; a page with more is judged by its characters alone

Doubt = tuple["Reason", float, float, str]  # with the measurement, its limit and a detail


class QuickLookSettings(Settings):
    enabled: bool = Field(True, description="off: every page goes to the extractor")
    max_bytes: int = Field(5_000_000, gt=0, description="larger pages go to the extractor unseen")
    max_nodes: int = Field(100_000, gt=0, description="and pages of more elements")
    min_words: int = Field(50, ge=0, description="words of the whole page; Gopher asks 50 of its text")
    min_sentences: int = Field(
        2, ge=0, description="sentence ends of a whole page of prose; C4 asks 3 of its text, where lines count as well"
    )
    min_characters: int = Field(50, ge=0, description="characters of a whole page in a script without spaces")
    languages: Languages = Field(
        (), description="ISO 639 codes to keep; left out: identify_language.languages; empty: any language passes"
    )
    sure_score: float = Field(
        0.9, ge=0, le=1, description="score from which the language of the whole page is believed"
    )


class Reason(StrEnum):
    WOULD_BE_TOO_SHORT = "would_be_too_short"
    WOULD_LACK_SENTENCES = "would_lack_sentences"
    WOULD_BE_UNWANTED_LANGUAGE = "would_be_unwanted_language"


SIGNALS: tuple[str, ...] = ()


def build(settings: QuickLookSettings) -> Callable[[Page], Page | Dropped]:
    identify = load_language_model().identify if settings.languages else None
    return lambda page: _looked_at(page, settings, identify)


def _looked_at(page: Page, settings: QuickLookSettings, identify: Identifier | None) -> Page | Dropped:
    if not settings.enabled or page.kind is Kind.TEXT:
        return page
    try:
        opened = page_tree.open_page(page, settings.max_bytes, settings.max_nodes)
    except MemoryError:
        raise
    except Exception:  # too large, too deep, broken: the extractor gives it its reason
        return page
    if not opened.embedded_text:
        text = markup.plain_text(opened.tree)
        doubt = _hopeless(text, opened, settings) or _unwanted(text, settings, identify)
        if doubt is not None:
            return Dropped(
                page, NAME, *doubt, excerpt=" ".join(text[: 2 * EXCERPT_CHARACTERS].split())[:EXCERPT_CHARACTERS]
            )
    page_tree.park(page, opened)
    return page


def _hopeless(text: str, opened: PageTree, settings: QuickLookSettings) -> Doubt | None:
    """Why no text of enough words or sentences can be a part of this one, if so."""
    words = count_most_words(text)
    unspaced = count_unspaced_characters(text)
    if unspaced > _UNSPACED_SHARE * words:
        doubt = (Reason.WOULD_BE_TOO_SHORT, unspaced + words, settings.min_characters, "")
        return doubt if unspaced + words < settings.min_characters else None
    if words < settings.min_words:
        return Reason.WOULD_BE_TOO_SHORT, words, settings.min_words, ""
    only_prose = opened.counts.code == opened.counts.formulas == opened.counts.tables == 0  # others are not asked
    ends = len(_SENTENCE_END.findall(text)) if only_prose else settings.min_sentences
    if ends < settings.min_sentences:
        return Reason.WOULD_LACK_SENTENCES, ends, settings.min_sentences, ""
    return None


def _unwanted(text: str, settings: QuickLookSettings, identify: Identifier | None) -> Doubt | None:
    """Its language, where that is certain and nobody wants it."""
    if identify is None:
        return None
    language, score = identify(text[:_LANGUAGE_CHARACTERS])
    if language in settings.languages or score < settings.sure_score:
        return None
    return Reason.WOULD_BE_UNWANTED_LANGUAGE, score, settings.sure_score, language
