"""Write structures as Markdown (CommonMark with tables and `$` formulas), so that parsing gives the structures back.

Signs are escaped only where Markdown would read them as markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.extraction.marks import CODE, DISPLAY, LINE, MATH
from pipeline.extraction.structures import Code, Definitions, Heading, Listing, Paragraph, Quote, Structure, Table
from pipeline.extraction.write_text import write_fence, write_inline_code

_SPANS = re.compile(f"({CODE}[^{CODE}]*{CODE}|{MATH}[^{MATH}]*{MATH}|{DISPLAY}[^{DISPLAY}]*{DISPLAY}|{LINE})")
_TEX_SPANS = re.compile(r"\\\(([^$\n]{1,500}?)\\\)|\\\[([^$\n]{1,2000}?)\\\]|\$\$([^$]{1,2000})\$\$")
_ESCAPED = re.compile(
    r"\\(?=[!-/:-@\[-`{-~]|$)|`|(?<!\s)\*|\*(?!\s|$)|(?<![^\W_])_|_(?![^\W_])|<(?=[a-zA-Z/!?])|&(?=#?\w{1,32};)|~(?=~)"
)
_LINE_START = re.compile(
    r"(#{1,6}(?=\s|$)|>|[-+*](?=\s|$)|=+(?=\s*$)|-+(?=\s*$)|~{3}|:(?=\s)|\|)|(\d{1,9})[.)](?=\s|$)"
)
_DELIMITER_ROW = re.compile(r"[|:\s-]*$|(?:[-_*]\s*){3,}$")


def write_markdown(structures: Sequence[Structure]) -> list[str]:
    """The blocks of the document, to be separated by blank lines."""
    return ["\n".join(lines) for lines in _write_blocks(structures)]


def _write_blocks(structures: Sequence[Structure]) -> list[list[str]]:
    """The lines of each block. One level of recursion for each level of nesting."""
    blocks: list[list[str]] = []
    bullet = "-"
    previous: Structure | None = None
    for part in structures:
        if isinstance(part, Listing):
            # Two lists in a row would become one list, were their markers equal.
            bullet = ("*" if bullet == "-" else "-") if isinstance(previous, Listing) else "-"
            blocks.append(
                _join_items(
                    [
                        (bullet if item.number is None else f"{item.number}{'.' if bullet == '-' else ')'}", inner)
                        for item in part.items
                        if (inner := _write_blocks(item.content))
                    ],
                    is_tight=all(_is_line(item.content) for item in part.items),
                )
            )
        elif isinstance(part, Quote):
            if isinstance(previous, Quote) and blocks:
                blocks.append(["<!-- -->"])  # otherwise the two would be one
            blocks.append([f"> {line}" if line else ">" for line in _join(_write_blocks(part.content))])
        elif isinstance(part, Definitions):
            for place, entry in enumerate(part.entries):
                lines = _join(_write_blocks(entry.content))
                if entry.is_term:
                    blocks.append(lines)
                elif place == 0:
                    blocks.append([])
                if not entry.is_term:
                    blocks[-1] += [(": " if first else "  ") + line for first, line in _with_first(lines)]
        elif isinstance(part, Code):
            blocks.append(write_fence(part, with_language=True).split("\n"))
        elif isinstance(part, Table):
            blocks.append(_write_table(part))
        elif isinstance(part, Heading):
            text = " ".join(_write_lines(part.text, escapes_start=False))
            text = f"{text[:-1]}\\#" if text.endswith("#") else text
            blocks.append([f"{'#' * part.level} {text}"])
        else:
            lines = _write_lines(part.text)
            blocks.append([line + "\\" if place < len(lines) - 1 else line for place, line in enumerate(lines)])
        previous = part
    return [block for block in blocks if block]


def _with_first(lines: Sequence[str]) -> list[tuple[bool, str]]:
    return [(place == 0, line) for place, line in enumerate(lines)]


def _is_line(content: Sequence[Structure]) -> bool:
    """Whether an item is one paragraph, with or without lists in it: no blank lines are needed."""
    return bool(content) and isinstance(content[0], Paragraph) and all(isinstance(p, Listing) for p in content[1:])


def _join(blocks: Sequence[list[str]], *, is_tight: bool = False) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        if lines and not is_tight:
            lines.append("")
        lines += block
    return lines


def _join_items(items: Sequence[tuple[str, list[list[str]]]], *, is_tight: bool) -> list[str]:
    written = []
    for marker, blocks in items:
        first, *rest = _join(blocks, is_tight=is_tight)
        margin = " " * (len(marker) + 1)
        written.append([f"{marker} {first}", *(margin + line if line else "" for line in rest)])
    return _join(written, is_tight=is_tight)


def _write_table(table: Table) -> list[str]:
    """The first header row is Markdown's; a table without one gets an empty header."""
    rows = [
        [" ".join(_write_lines(cell, escapes_start=False)).replace("|", "\\|") for cell in row] for row in table.rows
    ]
    header = rows.pop(0) if table.header_rows else [""] * len(rows[0])
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(row) + " |" for row in lines]


def _write_lines(text: str, *, escapes_start: bool = True) -> list[str]:
    """The lines of a paragraph, escaped."""
    spans = _SPANS.split(text)
    escapes_links = "](" in text or "]:" in text or "][" in text
    escapes_dollars = text.count("$") > 1 or (text.count("$") == 1 and MATH in text)
    lines = [""]
    for place, span in enumerate(spans):
        if span == LINE:
            lines.append("")
        elif place % 2:
            inner = span[1:-1]
            signs = {CODE: "", MATH: "$", DISPLAY: "$$"}[span[0]]
            lines[-1] += f"{signs}{inner}{signs}" if signs else write_inline_code(inner)
        elif span:
            written = _escape(span, escapes_links, escapes_dollars)
            lines[-1] += written if lines[-1] or not escapes_start else _escape_line_start(written)
    return [line.strip() for line in lines]


def _escape(text: str, escapes_links: bool, escapes_dollars: bool) -> str:
    pieces, end = [], 0
    for formula in _TEX_SPANS.finditer(text) if "\\" in text or "$$" in text else ():
        pieces.append(_escape_plain(text[end : formula.start()], escapes_links, escapes_dollars))
        sign = "$" if formula[1] else "$$"
        pieces.append(sign + (formula[1] or formula[2] or formula[3]).strip() + sign)
        end = formula.end()
    pieces.append(_escape_plain(text[end:], escapes_links, escapes_dollars))
    return "".join(pieces)


def _escape_plain(text: str, escapes_links: bool, escapes_dollars: bool) -> str:
    text = _ESCAPED.sub(r"\\\g<0>", text)
    if escapes_links:
        text = text.replace("[", "\\[").replace("]", "\\]")
    return text.replace("$", "\\$") if escapes_dollars else text


def _escape_line_start(line: str) -> str:
    if _DELIMITER_ROW.match(line) and line.strip():
        return "\\" + line.lstrip()
    match = _LINE_START.match(line)
    if match is None:
        return line
    return f"\\{line}" if match[1] else f"{match[2]}\\{line[len(match[2]) :]}"
