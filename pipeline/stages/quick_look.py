"""quick_look: drop pages that a later stage would certainly drop, before the costly extraction.

The page is parsed and read as text blocks, scripts left out. Looking at all text costs next to nothing then, because
extraction continues with the same parsed page. The main text is a part of that text: if the whole has too few words or
sentences, the main text has too few as well. Only the language is an estimate: a page is dropped if the identifier is
sure that the whole is neither in a wanted language nor in one close to it. The name of each reason says which later
drop it anticipates. The identifier is the shipped lid.176; where identify_language has another one, no language is
judged here unless `quick_look.languages` names some.

Pages with text inside JSON, which the extractor may use, are never dropped here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import Field

from classifiers.artifacts import default_folder, model_files
from classifiers.close_languages import choose_language, close_to
from classifiers.extraction.blocks import TAG_NUMBER, PageBlocks
from classifiers.language import load_language_model
from pipeline.documents import Dropped, Kind, Page
from pipeline.extraction.parsed_page import ParsedPage, parse_page
from pipeline.settings import Settings
from pipeline.stages.identify_language import Identifier, Languages
from pipeline.text import count_most_words, count_unspaced_characters, has_unspaced_characters

NAME = "quick_look"
SIGNALS: tuple[str, ...] = ()
_EXCERPT_CHARACTERS = 2_000
_LANGUAGE_CHARACTERS = 10_000
_BEGINNING_CHARACTERS = 4_000
# Where a sentence may end. It matches more often than sentences end, because an upper bound is needed.
_SENTENCE_END = re.compile(r"[.!?…؟۔।։።](?![a-z0-9])|[。！？｡]")
_LISTS = [TAG_NUMBER[tag] for tag in ("ul", "ol", "dl", "menu", "dir")]
_MENUS = ("nav", "header", "footer", "aside")
# Share of the words: a page with more characters of unspaced scripts is measured by its characters alone.
_UNSPACED_SHARE = 0.1

Rejection = tuple["QuickLookReason", float, float, str]  # reason, measurement, limit, detail


class QuickLookSettings(Settings):
    """Limits for the whole text of a page, below those that later stages have for its main text."""

    enabled: bool = Field(True, description="false: every page goes to the extractor")
    max_bytes: int = Field(5_000_000, gt=0, description="larger pages (in bytes) go to the extractor unchecked")
    max_nodes: int = Field(100_000, gt=0, description="pages with more tags go to the extractor unchecked")
    min_words: int = Field(50, ge=0, description="fewest words of the whole page; Gopher requires 50 of the main text")
    min_sentences: int = Field(
        2,
        ge=0,
        description="fewest sentence ends of a whole page of prose; C4 requires 3 of the main text, lines included",
    )
    min_characters: int = Field(
        50, ge=0, description="fewest characters of a whole page in a script without spaces between words"
    )
    languages: Languages = Field(
        (),
        description="ISO 639 codes to keep, judged by lid.176; left out: identify_language.languages, if that stage has"
        " no other model; empty: any language passes",
    )
    sure_score: float = Field(0.9, ge=0, le=1, description="probability from which an unwanted language drops the page")


class QuickLookReason(StrEnum):
    """The later drop that this one anticipates."""

    WOULD_BE_TOO_SHORT = "would_be_too_short"
    WOULD_LACK_SENTENCES = "would_lack_sentences"
    WOULD_BE_UNWANTED_LANGUAGE = "would_be_unwanted_language"


REASONS = QuickLookReason


def files(settings: QuickLookSettings) -> list[Path]:
    """The language model, if languages are chosen."""
    return model_files(default_folder("language")) if settings.languages else []


def build(settings: QuickLookSettings) -> Callable[[Page], Page | ParsedPage | Dropped]:
    """Load the language model if languages are chosen. Pages that pass are returned parsed, where they were parsed."""
    identify = load_language_model().probabilities if settings.languages else None

    def quick_look(page: Page) -> Page | ParsedPage | Dropped:
        if not settings.enabled or page.kind is Kind.TEXT:
            return page
        try:
            parsed = parse_page(page, settings.max_bytes, settings.max_nodes)
        except MemoryError:
            raise
        except Exception:  # too large, too deep or broken: extract_text drops it with its reason
            return page
        return _check(parsed, settings, identify)

    return quick_look


def _check(parsed: ParsedPage, settings: QuickLookSettings, identify: Identifier | None) -> ParsedPage | Dropped:
    text = parsed.blocks.text
    rejection = _check_length(text, parsed, settings) or _check_language(text, settings, identify)
    if rejection is None or parsed.has_embedded_text:
        return parsed
    excerpt = " ".join(text[: 2 * _EXCERPT_CHARACTERS].split())[:_EXCERPT_CHARACTERS]
    return Dropped(parsed.page, NAME, *rejection, excerpt=excerpt)


def _check_length(text: str, parsed: ParsedPage, settings: QuickLookSettings) -> Rejection | None:
    """A rejection if the whole text has too few words or sentences: any part of it then has too few as well."""
    if _begins_with_enough(text, settings):
        return None
    words = count_most_words(text)
    unspaced = count_unspaced_characters(text)
    if unspaced > _UNSPACED_SHARE * words:
        if unspaced + words < settings.min_characters:
            return QuickLookReason.WOULD_BE_TOO_SHORT, unspaced + words, settings.min_characters, ""
        return None
    if words < settings.min_words:
        return QuickLookReason.WOULD_BE_TOO_SHORT, words, settings.min_words, ""
    counts = parsed.count_structures()
    only_prose = counts.code == counts.formulas == counts.tables == 0
    ends = len(_SENTENCE_END.findall(text)) if only_prose else settings.min_sentences
    if ends < settings.min_sentences and not _has_list_outside_menus(parsed.blocks):
        return QuickLookReason.WOULD_LACK_SENTENCES, ends, settings.min_sentences, ""
    return None


def _begins_with_enough(text: str, settings: QuickLookSettings) -> bool:
    """Whether the beginning alone has enough words and sentences, as most pages: then nothing has to be counted."""
    if has_unspaced_characters(text):
        return False
    beginning = text[:_BEGINNING_CHARACTERS]
    ends = sum(1 for _ in islice(_SENTENCE_END.finditer(beginning), settings.min_sentences))
    return ends == settings.min_sentences and count_most_words(beginning) >= settings.min_words


def _has_list_outside_menus(blocks: PageBlocks) -> bool:
    """Whether the main text may have a list: C4 counts a line of a list as a sentence, whatever ends it."""
    lists = (blocks.nodes[number] for number in np.flatnonzero(np.isin(blocks.tags, _LISTS)))
    return any(next(element.iterancestors(*_MENUS), None) is None for element in lists)


def _check_language(text: str, settings: QuickLookSettings, identify: Identifier | None) -> Rejection | None:
    """A rejection if the whole text is certainly in an unwanted language."""
    if identify is None:
        return None
    language, score = choose_language(identify(text[:_LANGUAGE_CHARACTERS]))
    if score < settings.sure_score or not close_to(language).isdisjoint(settings.languages):
        return None
    return QuickLookReason.WOULD_BE_UNWANTED_LANGUAGE, score, settings.sure_score, language
