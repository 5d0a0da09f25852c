"""What a finder answers, and the text around it that every finder asks about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What was found; the value is the placeholder's name."""

    SECRET = "SECRET"  # noqa: S105  a name, no password
    EMAIL = "EMAIL"
    IBAN = "IBAN"
    CARD = "CARD"
    SSN = "SSN"
    IP = "IP"
    PHONE = "PHONE"
    NAME = "NAME"


NUMBERED = (
    20  # different values of a kind that get a number of their own in one document; the rest share the plain name
)

# Every placeholder there can be, so that a tokenizer can hold each as one token.
PLACEHOLDERS: tuple[str, ...] = tuple(
    text for kind in Kind for text in (f"<{kind}>", *(f"<{kind}_{number}>" for number in range(1, NUMBERED + 1)))
)


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is personal data; equal `key` means equal value, however it was written."""

    start: int
    end: int
    kind: Kind
    key: str


def ascii_digits(text: str) -> str:
    """Digits of any script as 0-9; other characters stay."""
    return text if text.isascii() else "".join(str(int(c)) if c.isdecimal() else c for c in text)


def before(text: str, start: int, characters: int) -> str:
    """What stands before a candidate on its line, in lower case."""
    return text[max(0, start - characters) : start].rpartition("\n")[2].lower()
