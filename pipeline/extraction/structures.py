"""What a rendered page consists of: headings, paragraphs, lists, tables, code. write_text and write_markdown write it.

Inline text is a string with the marks of `marks.py`: LINE for a line break, and pairs of CODE, MATH or DISPLAY around
inline code and formulas. The writers replace them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True)
class Paragraph:
    text: str


@dataclass(slots=True)
class Heading:
    level: int
    text: str


@dataclass(slots=True)
class Code:
    """Code, or other preformatted text (`is_code` False: a poem, a letter, a plan)."""

    text: str
    language: str = ""
    is_code: bool = True


@dataclass(slots=True)
class Item:
    """Of a list: `number` is None in a list with bullets."""

    number: int | None
    content: list[Structure] = field(default_factory=list)


@dataclass(slots=True)
class Listing:
    items: list[Item]


@dataclass(slots=True)
class Entry:
    """A term or a definition of a definition list."""

    is_term: bool
    content: list[Structure]


@dataclass(slots=True)
class Definitions:
    entries: list[Entry]


@dataclass(slots=True)
class Table:
    """Rows of equal length; the first `header_rows` are headers."""

    rows: list[list[str]]
    header_rows: int


@dataclass(slots=True)
class Quote:
    content: list[Structure]


Structure: TypeAlias = Paragraph | Heading | Code | Listing | Definitions | Table | Quote
