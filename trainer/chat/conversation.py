"""The schema of post-training data: messages, conversations, preferences, rated answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


class ConversationError(ValueError):
    """An item of a data file that cannot be used; the message is a short reason, under which it is counted."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one side says."""

    role: Role
    content: str
    train: bool = False  # the loss counts it; only an assistant's message can be learned


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in order; at least one is learned."""

    messages: tuple[Message, ...]
    source: str = ""  # the file's name, for shares and reports

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last answer."""
        last = max(n for n, message in enumerate(self.messages) if message.role == "assistant")
        return self.messages[:last]

    @property
    def answer(self) -> str:
        """The last answer."""
        return next(message.content for message in reversed(self.messages) if message.role == "assistant")


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, of which people or a judge preferred one."""

    prompt: tuple[Message, ...]  # ends with the message to be answered
    chosen: str
    rejected: str
    margin: float = 0.0  # how much better the chosen one is, in logits; 0 where nobody said
    tie: bool = False  # no preference: each answer is as good as the other
    source: str = ""


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An answer that was found good or bad by itself."""

    prompt: tuple[Message, ...]  # ends with the message to be answered
    answer: str
    desirable: bool


def make_message(role: object, content: object, *, train: bool = False) -> Message:
    """A checked message. Raises ConversationError for another role or an empty text."""
    if role not in ROLES:
        raise ConversationError("unknown role")
    if not isinstance(content, str) or not content.strip():
        raise ConversationError("empty message")
    if "\0" in content:
        raise ConversationError("null character in a message")
    if not _is_unicode(content):
        raise ConversationError("half a surrogate pair in a message")
    return Message(role, content, train and role == "assistant")  # type: ignore[arg-type]


def _is_unicode(text: str) -> bool:
    r"""Whether a text can be encoded: JSON may hold the escape of half a pair, \ud83d."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def make_conversation(messages: Sequence[Message], source: str = "") -> Conversation:
    """A checked conversation: messages after the last answer are left out, and one answer at least is learned."""
    answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        raise ConversationError("no answer")
    if answers[0] == 0:
        raise ConversationError("begins with an answer")
    kept = tuple(messages[: answers[-1] + 1])
    if not any(message.train for message in kept):
        raise ConversationError("no answer that is learned")
    return Conversation(kept, source)


def make_preference(
    prompt: Sequence[Message], chosen: object, rejected: object, *, margin: float = 0.0, tie: bool = False
) -> Preference:
    """A checked preference; equal answers teach nothing and are refused."""
    texts = [make_message("assistant", answer).content for answer in (chosen, rejected)]
    asked = _make_prompt(prompt)
    if texts[0] == texts[1]:
        raise ConversationError("equal answers")
    return Preference(asked, texts[0], texts[1], margin, tie)


def make_rated_answer(prompt: Sequence[Message], answer: object, desirable: object) -> RatedAnswer:
    """A checked answer with its rating, which is True or False."""
    text = make_message("assistant", answer).content
    if not isinstance(desirable, bool):
        raise ConversationError("label is neither true nor false")
    return RatedAnswer(_make_prompt(prompt), text, desirable)


def _make_prompt(messages: Sequence[Message]) -> tuple[Message, ...]:
    if not messages or messages[-1].role == "assistant":
        raise ConversationError("no prompt")
    return tuple(replace(message, train=False) for message in messages)


def prompt_key(prompt: Sequence[Message]) -> str:
    """Equal for prompts that differ in case and white space only: to find prompts that two data sets share."""
    return "\n".join(f"{message.role} {' '.join(message.content.lower().split())}" for message in prompt)
