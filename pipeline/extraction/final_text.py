"""The last steps of every rendering: forbidden and invisible characters, composition, second copies of a paragraph."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.extraction.marks import CONTROLS

# Invisible characters: zero-width space, word joiner, byte-order mark, soft hyphen, object replacement.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\ufffc]")
_LONG_PARAGRAPH = 80  # characters; shorter paragraphs repeat in any text


def clean_characters(text: str) -> str:
    """Without what XML forbids and what nobody sees, composed (NFC)."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", CONTROLS.sub("", text)))


def join_paragraphs(paragraphs: Sequence[str]) -> str:
    """The text, with a blank line between paragraphs."""
    cleaned = (clean_characters(paragraph) for paragraph in paragraphs)
    return "\n\n".join(_remove_second_copies([paragraph for paragraph in cleaned if paragraph.strip()])).strip()


def _remove_second_copies(paragraphs: list[str]) -> Iterator[str]:
    """Remove the second copy of a long paragraph: pages may have a text twice, for print, for phones or folded.

    More than two copies are spam and stay, so that the rules against repetition find them.
    """
    copies = Counter(paragraph for paragraph in paragraphs if _may_be_second_copy(paragraph))
    seen: set[str] = set()
    for paragraph in paragraphs:
        if copies[paragraph] != 2 or paragraph not in seen:
            yield paragraph
        seen.add(paragraph)


def _may_be_second_copy(paragraph: str) -> bool:
    """Whether it is prose in one line: refrains, tables, lists and code repeat on purpose."""
    return len(paragraph) >= _LONG_PARAGRAPH and "\n" not in paragraph and not paragraph.startswith("$$")
