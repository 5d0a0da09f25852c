"""Passages of a chunk database before the question of a served conversation, and their sources beside its answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.retrieval.chunk_database import ChunkDatabase, Passage
from trainer.rollouts.grounded_chat import fit_passages, quote_passages


@dataclass(frozen=True)
class PassageReader:
    """The database of a server, which one request at a time asks: its embedder may be a model, too.

    Raises DatabaseError where that model is another one now.
    """

    database: ChunkDatabase
    most: int = 3  # passages of a question
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Load what finds passages: a database that cannot be asked is refused before the server runs."""
        _ = self.database.embedder, self.database.searcher

    def read(
        self, template: ChatTemplate, messages: Sequence[Message], room: int, *, drop_oldest: bool
    ) -> tuple[list[Message], list[Passage]]:
        """The conversation with passages before its question, and these: the nearest that fit into `room` tokens.

        drop_oldest: exchanges before the question may be left out for them. A conversation that does not end in a
        question stays as it is.
        """
        *before, asked = messages
        if asked.role != "user":
            return list(messages), []
        with self._turn:
            (found,) = self.database.find([asked.content], self.most)
        kept = [message for message in before if message.role == "system"] if drop_oldest else before
        fitting = fit_passages(template, kept, asked.content, found, room)
        return [*before, Message("user", quote_passages(asked.content, fitting))], fitting


def describe_source(passage: Passage) -> dict[str, Any]:
    """A passage as a program reads it. Its URL and text are those of the web: as they were found, and to be escaped."""
    return {
        "url": passage.url,
        "document": passage.document,
        "offset": passage.offset,
        "similarity": round(passage.score, 4),
        "text": passage.text,
    }
