"""Leave out what holds items of evaluation sets from the data of post-training: the pipeline's rule.

An item counts as found in a conversation, pair or prompt that holds at least half of its 13-grams of words, across
messages. Each is judged alone, as the pipeline judges pages: no n-gram is excused because many hold it, else a question
that was copied often enough would stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from trainer.chat.conversation import Conversation, Preference, RatedAnswer
from trainer.chat.read_conversations import ReadReport
from trainer.contamination.ngram_index import ContaminationSettings, build_index, find_matches, find_overlaps
from trainer.contamination.scan import read_items
from trainer.errors import UserError
from trainer.settings import Settings

_UNLIMITED = 1 << 62  # documents with an n-gram

Data = TypeVar("Data")


class DecontaminateSettings(Settings):
    """The evaluation sets, and when one of their items counts as found."""

    sets: tuple[Path, ...] = Field(
        default=(), description="JSONL files of evaluation items, gzip or not; what holds one of them is left out"
    )
    words: int = Field(default=13, ge=2, description="words in an n-gram; GPT-3 and most later models used 13")
    min_words: int = Field(
        default=8, ge=2, description="words that an item needs to be looked for; shorter ones are too common"
    )
    overlap: float = Field(default=0.5, gt=0, le=1, description="share of an item's n-grams that must be held, 0 to 1")


def leave_out_items(
    data: Sequence[Data], text_of: Callable[[Data], str], settings: DecontaminateSettings, report: ReadReport
) -> list[Data]:
    """The data without what holds an item, which the report counts by evaluation set as skipped.

    Raises UserError for a set that cannot be read, and where nothing is left.
    """
    if not settings.sets:
        return list(data)
    items = [item for path in settings.sets for item in read_items(path)]
    rule = ContaminationSettings(
        words=settings.words, min_words=settings.min_words, overlap=settings.overlap, ubiquitous=_UNLIMITED
    )
    index = build_index(items, rule)
    if not index.sizes.any():
        raise UserError(
            f"decontaminate.sets: no item has {settings.min_words} words, so none can be looked for; lower "
            "decontaminate.min_words, or name other sets"
        )
    kept = []
    for entry in data:
        overlaps, _ = find_overlaps(index, [find_matches(index, "", text_of(entry))])
        if overlaps:
            first = index.items[next(iter(overlaps[0].items))]
            report.skipped[f"holds an item of {first.set}"] += 1
        else:
            kept.append(entry)
    if not kept:
        raise UserError("decontaminate.sets: every item of the data holds one of an evaluation set; give other data")
    return kept


def conversation_text(conversation: Conversation) -> str:
    """All that is said, in order."""
    return "\n\n".join(message.content for message in conversation.messages)


def preference_text(preference: Preference) -> str:
    """The prompt with each of the answers."""
    prompt = [message.content for message in preference.prompt]
    return "\n\n".join([*prompt, preference.chosen, *prompt, preference.rejected])


def rated_text(rated: RatedAnswer) -> str:
    """The prompt with the answer."""
    return "\n\n".join([*(message.content for message in rated.prompt), rated.answer])
