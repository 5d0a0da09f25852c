"""decontaminate: drop documents that hold items of evaluation sets, which a model must not have seen.

The rule is that of the field (GPT-3 and most later models): an item is found if a document holds at least `overlap` of
its 13-grams of words. Evaluation sets are files that you name; none ships. Off while no file is named.

It is decided page by page, so no n-gram is excused because many documents have it; `gristmill train contamination`
does that on a finished dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from pipeline.documents import Document, Dropped
from pipeline.lists.evaluation_sets import EvaluationIndex, read_items
from pipeline.settings import Settings

NAME = "decontaminate"
SIGNALS: tuple[str, ...] = ()


class DecontaminateSettings(Settings):
    """The evaluation sets, and when one of their items counts as found."""

    sets: tuple[Path, ...] = Field(
        (), description="files of evaluation items: JSONL (all strings of a row) or text (an item a line), gzip or not"
    )
    words: int = Field(13, ge=2, description="words in an n-gram; GPT-3 and most later models used 13")
    min_words: int = Field(8, ge=2, description="words that an item needs to be looked for; shorter ones are common")
    overlap: float = Field(0.5, gt=0, le=1, description="share of an item's n-grams that drops the document")


class DecontaminateReason(StrEnum):
    """Why a document is dropped; the detail of its row names set and item."""

    EVALUATION_ITEM = "evaluation_item"


REASONS = DecontaminateReason


def files(settings: DecontaminateSettings) -> list[Path]:
    """The evaluation sets."""
    return list(settings.sets)


def build(settings: DecontaminateSettings) -> Callable[[Document], Document | Dropped]:
    """Read and index the sets. Raises UserError for one that cannot be read."""
    items = (item for path in settings.sets for item in read_items(path))
    index = EvaluationIndex(items, settings.words, settings.min_words)

    def decontaminate(document: Document) -> Document | Dropped:
        found = index.find(document.text, settings.overlap) if index.items else None
        if found is None:
            return document
        share = round(found.share, 4)
        detail = f"{found.item.set}, line {found.item.number}"
        return Dropped(document, NAME, DecontaminateReason.EVALUATION_ITEM, share, settings.overlap, detail)

    return decontaminate
