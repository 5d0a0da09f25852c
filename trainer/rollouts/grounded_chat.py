"""Retrieve, then read: passages from a chunk database stand before a question, and their sources are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.retrieval.chunk_database import ChunkDatabase, Passage
from trainer.rollouts.chat import Chat, prompt_room


@dataclass(frozen=True)
class GroundedChat:
    """A conversation in which every message of the user brings passages with it, for the answer to it only."""

    chat: Chat
    database: ChunkDatabase
    passages: int = 3  # most passages of a question

    def answer(self, text: str, on_text: Callable[[str], None] = lambda _: None) -> tuple[str, list[Passage]]:
        """The answer, and the passages that the model read: those of the nearest that fit into its context."""
        (found,) = self.database.find([text], self.passages)
        system = [message for message in self.chat.messages if message.role == "system"]
        room = prompt_room(self.chat.model.settings.context_length, self.chat.settings)
        read = fit_passages(self.chat.template, system, text, found, room)
        answer = self.chat.answer(quote_passages(text, read), on_text)
        self.chat.messages[-2] = Message("user", text)
        return answer, read


def fit_passages(
    template: ChatTemplate, before: Sequence[Message], question: str, found: Sequence[Passage], room: int
) -> list[Passage]:
    """As many passages as fit into `room` tokens with the messages before the question; it always stays itself."""
    for count in range(len(found), 0, -1):
        asked = Message("user", quote_passages(question, found[:count]))
        if len(template.encode_prompt([*before, asked])) <= room:
            return list(found[:count])
    return []


def quote_passages(question: str, passages: Sequence[Passage]) -> str:
    """The message that the model reads.

    >>> quote_passages("Where?", [Passage(7, 0.5, "a", "https://x.example/", 0, "By the\\nriver. ")])
    '[1] By the river.\\n\\nWhere?'
    """
    lines = [f"[{number}] {' '.join(passage.text.split())}" for number, passage in enumerate(passages, 1)]
    return "\n".join([*lines, "", question]) if lines else question


def format_sources(passages: Sequence[Passage]) -> str:
    """A line for each passage: its number, URL and place."""
    if not passages:
        return "no passage fits into the model's context"
    return "\n".join(
        f"[{number}] {passage.url or passage.document} (token {passage.offset:,}, similarity {passage.score:.2f})"
        for number, passage in enumerate(passages, 1)
    )
