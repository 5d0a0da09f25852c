"""Private-use characters that protect white space, code and formulas from the extraction engine.

`prepare_tree` puts them into a parsed page: they represent significant white space, the ends of a code block and the
ends of a formula. They pass through the engine and its fall-backs unchanged; `rendering` then finds them and writes
fences, indentation and `$`. A mark replaces one character, so the engine's measures of length stay the same. The marks
are in plane 15, which no page uses; `encode_source` removes any that a page contains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml.etree import _Element

PARAGRAPH, LINE, NEWLINE, SPACE, TAB, FENCE, PRE, CODE, MATH, DISPLAY, TABLE, LIST = (
    chr(0xF0000 + i) for i in range(12)
)
MARKS = re.compile("[\U000f0000-\U000f000b]")
# Control characters, surrogates and noncharacters: XML cannot hold them.
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

_PROTECTED_SPACES = re.compile(r" {2,}|(?<=\n) | (?=\n)|^ ")


@dataclass(frozen=True, slots=True)
class StructureCounts:
    """Structures of each kind: in a page, or in the text extracted from it."""

    code: int
    formulas: int
    tables: int
    lists: int


def protect_white_space(text: str) -> str:
    """`text` with marks for its line breaks, tabs, margins and runs of spaces."""
    text = _PROTECTED_SPACES.sub(lambda run: SPACE * len(run[0]), text)
    return text.replace("\n", NEWLINE).replace("\t", TAB)


def plain_text(element: _Element) -> str:
    """All text of a prepared page or of a part of it, without marks."""
    return MARKS.sub(" ", element.text_content())
