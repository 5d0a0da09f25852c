"""Write structures as plain text: blank lines between paragraphs, fenced code, `|` in tables, `-` and numbers in lists.

Nothing is escaped: the text is for a language model, not for a Markdown renderer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.extraction.marks import CODE, DISPLAY, LINE, MATH
from pipeline.extraction.structures import Code, Definitions, Listing, Quote, Structure, Table

_ANY_MARK = re.compile(f"[{CODE}{MATH}{DISPLAY}{LINE}]")
_INLINE_CODE = re.compile(f"{CODE}([^{CODE}]*){CODE}")
_TICKS = re.compile(r"`+")
_DEEPEST = 40  # characters of margin: hostile pages nest a hundred lists
_SHORT_DEFINITION = 300


def write_text(structures: Sequence[Structure]) -> list[str]:
    """The paragraphs of the text."""
    writer = _Writer()
    writer.write(structures, None, "")
    writer.end_paragraph()
    return writer.paragraphs


class _Writer:
    def __init__(self) -> None:
        self.paragraphs: list[str] = []
        self.lines: list[str] = []  # of the list under way

    def end_paragraph(self) -> None:
        if self.lines:
            self.paragraphs.append("\n".join(self.lines))
            self.lines.clear()

    def _add(self, paragraph: str) -> None:
        self.end_paragraph()
        self.paragraphs.append(paragraph)

    def write(self, structures: Sequence[Structure], margin: str | None, lead: str) -> None:
        """In a list, `lead` is what the first line begins with and `margin` what the others do."""
        for part in structures:
            if isinstance(part, Listing):
                if margin is None:
                    self.end_paragraph()
                inner = (margin or "")[:_DEEPEST]
                for item in part.items:
                    marker = "- " if item.number is None else f"{item.number}. "
                    self.write(item.content, inner + " " * len(marker), inner + marker)
                if margin is None:
                    self.end_paragraph()
            elif isinstance(part, Quote):
                self.write(part.content, margin, lead)
            elif isinstance(part, Definitions):
                self._write_marker(lead)
                self._write_definitions(part, margin or "")
            elif isinstance(part, Code):
                self._write_marker(lead)
                if part.is_code or margin is None:
                    self._add(write_fence(part, with_language=True) if part.is_code else part.text)
                else:
                    self.lines += [margin + line for line in part.text.split("\n")]
            elif isinstance(part, Table):
                self._write_marker(lead)
                self._add("\n".join(_write_row(row) for row in part.rows))
            elif margin is None:
                self._add(write_inline(part.text))
            else:
                for line in write_inline(part.text).split("\n"):
                    self.lines.append(lead + line)
                    lead = margin
            lead = margin or ""

    def _write_marker(self, lead: str) -> None:
        """The number of an item that begins with code or a table, on a line of its own; a bullet says nothing there."""
        if lead.strip() not in ("", "-"):
            self.lines.append(lead.rstrip())

    def _write_definitions(self, part: Definitions, margin: str) -> None:
        """Terms and definitions in lines, or in paragraphs where definitions are long."""
        texts = [p.text for entry in part.entries for p in entry.content if not isinstance(p, Listing)]  # type: ignore[union-attr]
        in_paragraphs = max(map(len, texts), default=0) > _SHORT_DEFINITION
        for entry in part.entries:
            if in_paragraphs:
                self.write(entry.content, None, "")
            else:
                self.write(entry.content, margin, margin)
        if not margin:
            self.end_paragraph()


def write_inline(text: str) -> str:
    if not _ANY_MARK.search(text):
        return text
    text = _INLINE_CODE.sub(lambda match: write_inline_code(match[1]), text)
    return text.replace(LINE, "\n").replace(MATH, "$").replace(DISPLAY, "$$").replace(CODE, "")


def write_inline_code(text: str) -> str:
    """The code between more backticks than it has in a row."""
    if "`" not in text:
        return f"`{text}`"
    ticks = "`" * (max(map(len, _TICKS.findall(text))) + 1)
    return f"{ticks} {text} {ticks}"


def write_fence(code: Code, *, with_language: bool) -> str:
    """The code between fences that are longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(code.text)), default=0))
    return f"{fence}{code.language if with_language else ''}\n{code.text}\n{fence}"


def _write_row(row: Sequence[str]) -> str:
    return "| " + " | ".join(write_inline(cell).replace("|", "\\|") for cell in row) + " |"
