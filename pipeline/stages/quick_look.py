"""quick_look: pages that cannot come through are sent away before the costly extraction.

A fast plain-text pass (resiliparse, a few percent of the extractor's cost) reads everything a visitor could see, hidden
parts and form fields included. The main text is a part of that; so what is hopeless in the whole is hopeless in the
part. Each reason names the later drop that it foresees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

from pydantic import Field
from resiliparse.extract.html2text import extract_plain_text

import pipeline.settings
from pipeline.charset import decode
from pipeline.documents import Dropped, Kind, Page

NAME = "quick_look"
_EXCERPT_CHARACTERS = 2_000
_WORD = re.compile(r"\w+")
# Text that an extractor may take from a script (JSON-LD, Discourse): the visible part is not all there is.
_HIDDEN_TEXT = re.compile(
    r"articleBody|reviewBody|recipeInstructions|acceptedAnswer|data-preloaded|\"HowTo\"|\"Product\"|\"VideoObject\""
)


class Settings(pipeline.settings.Settings):
    enabled: bool = True
    min_characters: int = Field(150, ge=0)  # letters and digits of the whole page


class Reason(StrEnum):
    WOULD_BE_TOO_SHORT = "would_be_too_short"


SIGNALS: tuple[str, ...] = ()


def build(settings: Settings) -> Callable[[Page], Page | Dropped]:
    return lambda page: _looked_at(page, settings)


def _looked_at(page: Page, settings: Settings) -> Page | Dropped:
    if not settings.enabled or page.kind is Kind.TEXT:
        return page
    html, _ = decode(page.content, page.http_charset)
    if _HIDDEN_TEXT.search(html):
        return page
    try:
        text = everything(html)
    except Exception:  # the extractor will say what is wrong with the page
        return page
    characters = sum(len(word) for word in _WORD.findall(text))
    if characters < settings.min_characters:
        return Dropped(
            page,
            NAME,
            Reason.WOULD_BE_TOO_SHORT,
            characters,
            settings.min_characters,
            excerpt=text[:_EXCERPT_CHARACTERS],
        )
    return page


def everything(html: str) -> str:
    """All text of the page, one block a line."""
    return extract_plain_text(html, preserve_formatting=True, alt_texts=True, form_fields=True, noscript=True)
