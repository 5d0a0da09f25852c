"""A text cut into lines, paragraphs and words once, for all families of filters.

Prose is what is left without fenced code, table rows of short cells, and displayed formulas: rules about sentences and
lines were made for prose, and a page rich in code or tables is judged by its prose only. Chinese, Japanese, Thai, Lao,
Khmer, Burmese and Tibetan are written without spaces: their units are characters, and a word counts as
`CHARACTERS_PER_WORD` of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from pipeline.text import CHARACTERS_PER_WORD, WORD, count_line_words

# Thai, Lao and Tibetan hardly mark sentences, Khmer and Burmese do it with signs that few other rules know.
NO_SENTENCE_MARKS = frozenset({"th", "lo", "km", "my", "bo"})
_UNIT = re.compile(r"[a-z0-9.]+|\S")
_PARAGRAPH = re.compile(r"\n{2,}")
SHORT_LINE = 30  # characters: FineWeb's measure
_PROSE_CELL_WORDS = 12  # a table whose cells hold this many words on average is a page layout, not data


class Form(IntEnum):
    """What a line is."""

    PROSE = 0
    LIST_ITEM = 1
    TABLE = 2
    CODE = 3
    FORMULA = 4


@dataclass(frozen=True)
class Parts:
    """Paragraphs are lists of lines; no line is blank; `forms` runs beside `lines`."""

    text: str
    language: str
    lines: list[str]
    forms: list[Form]
    paragraph_of: list[int]  # number of the paragraph that a line belongs to

    @cached_property
    def characters_per_word(self) -> int:
        """0 where spaces part the words."""
        return CHARACTERS_PER_WORD.get(self.language, 0)

    @cached_property
    def prose(self) -> list[str]:
        """Lines of running text and list items."""
        return [line for line, form in zip(self.lines, self.forms, strict=True) if form <= Form.LIST_ITEM]

    @cached_property
    def prose_text(self) -> str:
        return self.text if len(self.prose) == len(self.lines) else "\n".join(self.prose)

    @cached_property
    def blocks(self) -> list[str]:
        """Running text by lines, but short lines of one paragraph (verse, ingredients, an address) as one."""
        return self._blocks(Form.PROSE)

    @cached_property
    def blocks_and_lists(self) -> list[str]:
        """The same with the items of lists."""
        return self._blocks(Form.LIST_ITEM)

    def _blocks(self, last: Form) -> list[str]:
        blocks: list[list[str]] = []
        before = -1
        for line, form, number in zip(self.lines, self.forms, self.paragraph_of, strict=True):
            if form > last:
                continue
            if number == before and len(line) <= SHORT_LINE and len(blocks[-1][-1]) <= SHORT_LINE:
                blocks[-1].append(line)
            else:
                blocks.append([line])
            before = number
        return ["\n".join(block) for block in blocks]

    @cached_property
    def words(self) -> list[str]:
        """Lower-case words of the prose, without punctuation. Without spaces: stretches between punctuation."""
        return WORD.findall(self.lowered)

    @cached_property
    def lowered(self) -> str:
        return self.prose_text.lower()

    @cached_property
    def line_words(self) -> list[float]:
        """Number of words of every line."""
        return [count_line_words(line, self.characters_per_word) for line in self.lines]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def units(self) -> list[str]:
        """What repetition is counted in: words, or the characters of a language without spaces (Latin words whole)."""
        return _UNIT.findall(" ".join(self.words)) if self.characters_per_word else self.words

    @cached_property
    def prose_words(self) -> float:
        return self._count(self.words)

    @cached_property
    def all_words(self) -> float:
        """Of the whole text, code and tables included."""
        if len(self.prose) == len(self.lines):
            return self.prose_words
        return self._count(WORD.findall(self.text))

    @cached_property
    def paragraphs(self) -> list[str]:
        joined: dict[int, list[str]] = {}
        for line, form, number in zip(self.lines, self.forms, self.paragraph_of, strict=True):
            if form <= Form.LIST_ITEM:
                joined.setdefault(number, []).append(line)
        return ["\n".join(lines) for lines in joined.values()]

    def _count(self, words: list[str]) -> float:
        return sum(map(len, words)) / self.characters_per_word if self.characters_per_word else float(len(words))


def parts(text: str, language: str) -> Parts:
    lines: list[str] = []
    forms: list[Form] = []
    paragraph_of: list[int] = []
    fence = math = ""
    for number, paragraph in enumerate(_PARAGRAPH.split(text)):
        for raw in paragraph.split("\n"):
            line = raw.strip()
            if not line:
                continue
            form = Form.PROSE
            if fence or line.startswith("```"):
                form = Form.CODE
                ticks = line[: len(line) - len(line.lstrip("`"))]
                fence = ("" if line == fence else fence) if fence else ticks
            elif math or line.startswith("$$"):
                form = Form.FORMULA
                math = "" if line.endswith("$$") and (math or len(line) > 3) else "$$"
            elif line[0] == "|":
                form = _table_form(line)
            elif line.startswith(("- ", "• ", "* ")):
                form = Form.LIST_ITEM
            lines.append(line)
            forms.append(form)
            paragraph_of.append(number)
    return Parts(text, language, lines, _closed(forms, Form.CODE, fence), paragraph_of)


def _closed(forms: list[Form], form: Form, still_open: str) -> list[Form]:
    """A fence that never closes is no code: one stray mark must not hide the rest of a page from every rule."""
    if not still_open:
        return forms
    start = len(forms)
    while start and forms[start - 1] == form:
        start -= 1
    return forms[:start] + [Form.PROSE] * (len(forms) - start)


def _table_form(line: str) -> Form:
    cells = max(1, line.count("|") - 1)
    return Form.PROSE if len(line.split()) / cells >= _PROSE_CELL_WORDS + 1 else Form.TABLE
