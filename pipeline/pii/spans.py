"""What a finder yields (`Span`), the placeholders, and helpers that all finders use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class PiiKind(StrEnum):
    """What was found; the value is the name in the placeholder."""

    SECRET = "SECRET"  # noqa: S105  a name, not a password
    EMAIL = "EMAIL"
    IBAN = "IBAN"
    CARD = "CARD"
    SSN = "SSN"
    IP = "IP"
    PHONE = "PHONE"
    NAME = "NAME"


# Different values of one kind in one document that get a number of their own; the others share the plain name.
MAX_NUMBERED = 20

# All possible placeholders, so that a tokenizer can represent each as one token.
PLACEHOLDERS: tuple[str, ...] = tuple(
    text for kind in PiiKind for text in (f"<{kind}>", *(f"<{kind}_{number}>" for number in range(1, MAX_NUMBERED + 1)))
)


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is personal data; spans with equal `key` have equal values, also if written differently."""

    start: int
    end: int
    kind: PiiKind
    key: str


# What every phone, card and social security number has: few texts have it, and one scan finds out.
_LONG_NUMBER = re.compile(r"\d(?:[ \u00a0().\u2010-\u2015/-]{0,3}\d){5}")


def has_long_number(text: str) -> bool:
    """Whether the text has six digits with at most three spaces or separators between two."""
    return _LONG_NUMBER.search(text) is not None


def to_ascii_digits(text: str) -> str:
    """Replace digits of any script by 0-9; keep all other characters."""
    return text if text.isascii() else "".join(str(int(c)) if c.isdecimal() else c for c in text)


def text_before(text: str, start: int, characters: int) -> str:
    """Up to `characters` characters before a candidate on its line, in lower case."""
    return text[max(0, start - characters) : start].rpartition("\n")[2].lower()
