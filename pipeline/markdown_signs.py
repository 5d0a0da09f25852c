"""What Markdown adds to the lines of a text. Whatever measures a text leaves it out.

So a page has one fate in both formats of `extract_text.text_format`, and so has a Markdown document of a user's: a
heading's `#` is no hash, and a line that ends in `\\` may end in punctuation. Of 1,409 pages 68 were dropped for such
signs alone. Code is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_LEADING = re.compile(r"(?:> )+(?:#{1,6} +)?|#{1,6} +|: +|\\(?=[-+*>#=~:|])|>$|<!-- -->$")
_AFTER_MARKER = re.compile(r"((?:[-+*]|\d{1,9}[.)]) )(?:(?:> )+(?:#{1,6} +)?|#{1,6} +)")
_NUMBER = re.compile(r"(\d{1,9})\\(?=[.)](?: |$))")
_DELIMITERS = re.compile(r"\|[-:| ]*\|")
# One of these is in every text with signs; most texts have none.
_ANY = re.compile(r"^[^\S\n]*(?:(?:[-+*] |\d{1,9}[.)] )?(?:[#>:\\]|<!--|\||\d{1,9}\\)|\* )|\\[^\S\n]*$", re.MULTILINE)


@lru_cache(maxsize=1)
def without_signs(text: str) -> str:
    """The text as it is measured, with as many lines. The last one is kept: five measurements take 0.08 ms each."""
    if not _ANY.search(text):
        return text
    return "\n".join(line if plain == line.strip() else plain for line, plain in plain_lines(text))


def plain_lines(text: str) -> Iterator[tuple[str, str]]:
    """Each line, and what it says: without margins and signs. Empty for a blank line, and for signs alone."""
    fence = ""
    for line in text.split("\n"):
        plain = line.strip()
        if fence or plain.startswith("```"):
            fence = follow_fence(plain, fence)
            yield line, plain
        else:
            yield line, _without_signs(plain).strip()


def follow_fence(line: str, fence: str) -> str:
    """The ticks of the code that is open behind a line of it, "" behind its end; `fence`: before the line."""
    if fence:
        return "" if line == fence else fence
    return line[: len(line) - len(line.lstrip("`"))]


def replace_words(line: str, plain: str, new: str) -> str:
    """A line with `new` in place of what it says; its signs stay, also the star that is measured as a dash."""
    if plain in line:
        return line.replace(plain, new)
    inner = plain[1:]
    return line.replace(inner, new[1:]) if inner in line and new[:1] == plain[:1] else new


def _without_signs(line: str) -> str:
    if not line:
        return line
    if line[0] in "#>:\\<":
        line = _LEADING.sub("", line, count=1) if _LEADING.match(line) else line
    elif line[0] == "|":
        return "" if _DELIMITERS.fullmatch(line) else line
    elif line[0] in "-+*0123456789":
        line = (
            _AFTER_MARKER.sub(r"\1", line, count=1) if _AFTER_MARKER.match(line) else _NUMBER.sub(r"\1", line, count=1)
        )
        line = f"-{line[1:]}" if line.startswith("* ") else line  # of two lists in a row the second has stars
    return line[:-1].rstrip() if line.endswith("\\") and not line.endswith("\\\\") else line


def close_break(kept: list[str]) -> None:
    """Take the sign of a line break from the last line: the line behind it was removed."""
    if kept and kept[-1].endswith("\\") and not kept[-1].endswith("\\\\"):
        kept[-1] = kept[-1][:-1].rstrip()
