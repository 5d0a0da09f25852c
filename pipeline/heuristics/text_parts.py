"""Split a page's text into lines, paragraphs and words once, for all heuristic filters.

Each line is prose, a list item, a table row, code or a formula. Prose in a wider sense (`TextParts.prose`) is running
text and list items: the published rules about sentences and lines were made for it, and a page rich in code or tables
is measured by its prose only. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan are written without spaces: they
are measured in characters, of which `CHARACTERS_PER_WORD` count as one word.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache

from pipeline.markdown_signs import follow_fence, without_signs
from pipeline.text import CHARACTERS_PER_WORD, WORD, count_line_words

# Thai, Lao and Tibetan rarely mark sentence ends; Khmer and Burmese use marks of their own.
NO_SENTENCE_MARKS = frozenset({"th", "lo", "km", "my", "bo"})
_UNIT = re.compile(r"[a-z0-9.]+|\S")
_PARAGRAPH = re.compile(r"\n{2,}")
SHORT_LINE = 30  # characters, FineWeb's value
_PROSE_CELL_WORDS = 12  # words per cell from which a table is page layout, not data


class LineKind(IntEnum):
    """What a line is. Kinds up to LIST_ITEM count as prose."""

    PROSE = 0
    LIST_ITEM = 1
    TABLE = 2
    CODE = 3
    FORMULA = 4


@dataclass(frozen=True)
class TextParts:
    """The text without signs of Markdown, and its lines, without blank ones.

    `kinds` and `paragraph_of` have one entry per line.
    """

    text: str
    language: str
    lines: list[str]
    kinds: list[LineKind]
    paragraph_of: list[int]  # index of the paragraph of each line

    @cached_property
    def characters_per_word(self) -> int:
        """0 for languages that separate words by spaces."""
        return CHARACTERS_PER_WORD.get(self.language, 0)

    @cached_property
    def prose(self) -> list[str]:
        """Lines of running text and list items."""
        return [line for line, kind in zip(self.lines, self.kinds, strict=True) if kind <= LineKind.LIST_ITEM]

    @cached_property
    def prose_text(self) -> str:
        """The text without code, tables and formulas."""
        return self.text if len(self.prose) == len(self.lines) else "\n".join(self.prose)

    @cached_property
    def blocks(self) -> list[str]:
        """Lines of running text; consecutive short lines of one paragraph (verse, an address) are joined to one."""
        return self._join_short_lines(LineKind.PROSE)

    @cached_property
    def blocks_and_lists(self) -> list[str]:
        """Like `blocks`, with list items."""
        return self._join_short_lines(LineKind.LIST_ITEM)

    def _join_short_lines(self, last: LineKind) -> list[str]:
        blocks: list[list[str]] = []
        before = -1
        for line, kind, number in zip(self.lines, self.kinds, self.paragraph_of, strict=True):
            if kind > last:
                continue
            if number == before and len(line) <= SHORT_LINE and len(blocks[-1][-1]) <= SHORT_LINE:
                blocks[-1].append(line)
            else:
                blocks.append([line])
            before = number
        return ["\n".join(block) for block in blocks]

    @cached_property
    def words(self) -> list[str]:
        """Lower-case words of the prose, without punctuation; in unspaced languages, the text between punctuation."""
        return WORD.findall(self.lowered)

    @cached_property
    def lowered(self) -> str:
        """The prose in lower case."""
        return self.prose_text.lower()

    @cached_property
    def line_words(self) -> list[float]:
        """Number of words of every line."""
        return [count_line_words(line, self.characters_per_word) for line in self.lines]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The different words of the prose."""
        return frozenset(self.words)

    @cached_property
    def units(self) -> list[str]:
        """Units of repetition: words; in unspaced languages characters, with Latin words whole."""
        return _UNIT.findall(" ".join(self.words)) if self.characters_per_word else self.words

    @cached_property
    def unit_counts(self) -> Counter[str]:
        """How often each unit occurs."""
        return Counter(self.units)

    @cached_property
    def prose_words(self) -> float:
        """Number of words of the prose."""
        return self._count(self.words)

    @cached_property
    def all_words(self) -> float:
        """Number of words of the whole text, with code and tables."""
        if len(self.prose) == len(self.lines):
            return self.prose_words
        return self._count(WORD.findall(self.text))

    @cached_property
    def paragraphs(self) -> list[str]:
        """The prose of every paragraph."""
        joined: dict[int, list[str]] = {}
        for line, kind, number in zip(self.lines, self.kinds, self.paragraph_of, strict=True):
            if kind <= LineKind.LIST_ITEM:
                joined.setdefault(number, []).append(line)
        return ["\n".join(lines) for lines in joined.values()]

    def _count(self, words: list[str]) -> float:
        return sum(map(len, words)) / self.characters_per_word if self.characters_per_word else float(len(words))


@lru_cache(maxsize=1)
def split_text(text: str, language: str) -> TextParts:
    """Split a text into non-blank lines, each with its kind and paragraph. The last text is kept: most are corrected
    in no line and then measured."""
    lines: list[str] = []
    kinds: list[LineKind] = []
    paragraph_of: list[int] = []
    text = without_signs(text)
    fence = math = ""
    for number, paragraph in enumerate(_PARAGRAPH.split(text)):
        for raw in paragraph.split("\n"):
            line = raw.strip()
            if not line:
                continue
            kind = LineKind.PROSE
            if fence or line.startswith("```"):
                kind = LineKind.CODE
                fence = follow_fence(line, fence)
            elif math or line.startswith("$$"):
                kind = LineKind.FORMULA
                math = "" if line.endswith("$$") and (math or len(line) > 3) else "$$"
            elif line[0] == "|":
                kind = _table_row_kind(line)
            elif line.startswith(("- ", "• ", "* ")):
                kind = LineKind.LIST_ITEM
            lines.append(line)
            kinds.append(kind)
            paragraph_of.append(number)
    return TextParts(text, language, lines, _ignore_unclosed_fence(kinds, LineKind.CODE, fence), paragraph_of)


def _ignore_unclosed_fence(kinds: list[LineKind], kind: LineKind, still_open: str) -> list[LineKind]:
    """Lines after a fence that never closes are prose: one stray mark must not hide the rest of a page."""
    if not still_open:
        return kinds
    start = len(kinds)
    while start and kinds[start - 1] == kind:
        start -= 1
    return kinds[:start] + [LineKind.PROSE] * (len(kinds) - start)


def _table_row_kind(line: str) -> LineKind:
    cells = max(1, line.count("|") - 1)
    return LineKind.PROSE if len(line.split()) / cells >= _PROSE_CELL_WORDS + 1 else LineKind.TABLE
