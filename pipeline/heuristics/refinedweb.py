"""RefinedWeb's line corrections: Penedo et al. 2023 (arXiv 2306.01116), appendix G.2, with the values of DCLM's recipe.

Lines that are mostly capital letters, only digits, a counter of a social network or a single word are removed; phrases
like "read more" are cut from short lines; a page that loses more than 5% of its words this way is dropped.

Differences from the paper: a line of one word or in capitals is kept if it is a heading or part of verse; list items,
code, tables and formulas are never corrected; a line with fewer than 8 capital letters (an abbreviation) does not count
as capitals; counters and phrases of several languages are recognized.
"""

from __future__ import annotations

import re

from pydantic import Field

from pipeline.heuristics.rules import HeuristicReason, Rule
from pipeline.heuristics.text_parts import LineKind, TextParts
from pipeline.settings import Settings
from pipeline.text import count_line_words

_COUNTER = re.compile(
    r"\W*\d[\d.,]*\s?(?:k|m|b|mio|mln|tsd)?\.?\s+"
    r"(?:likes?|shares?|comments?|retweets?|reposts?|quotes?|bookmarks?|upvotes?|downvotes?|downloads?|views?|followers?"
    r"|kommentare?|aufrufe|gefällt mir|commentaires?|partages?|vues|comentarios?|compartidos|seguidores|visitas"
    r"|commenti|condivisioni|reacties|komentarz[ey]?|комментари\w+|просмотр\w*|σχόλια)\W*",
    re.IGNORECASE,
)
_DIGITS_ONLY = re.compile(r"[\d\s.,:;/()%+-]+")
_READ_MORE = re.compile(
    r"^\W*(?:sign[ -]in|log[ -]in|anmelden|se connecter|iniciar sesión)\b\W*"
    r"|\W*\b(?:read more|weiterlesen|mehr lesen|lire la suite|leer más|continua a leggere|lees verder)\b\W*$"
    r"|\b\d* ?items? in (?:your )?(?:cart|basket)\b",
    re.IGNORECASE,
)
_MIN_CAPITALS = 8
_MAX_LINE = 200  # characters: phrases are searched in shorter lines, capitals counted in this much of a line


class RefinedWebSettings(Settings):
    """RefinedWeb's line corrections and the limit on what they remove."""

    correct: bool = Field(True, description="correct lines; false leaves every line as it is")
    max_upper_case: float | None = Field(
        0.5, ge=0, le=1, description="share of capitals among a line's letters above which the line is removed"
    )
    max_read_more_words: int = Field(
        10, ge=0, description='"read more", "sign in" and the like are cut from lines of at most this many words'
    )
    max_corrected: float | None = Field(
        0.05, ge=0, le=1, description="share of the page's words that corrections may remove"
    )


RULES = (Rule(HeuristicReason.CORRECTED_TOO_MUCH, "refinedweb_corrected", "max_corrected"),)
SIGNALS = ("refinedweb_corrected",)


def correct_lines(
    page: TextParts, settings: RefinedWebSettings, headings: list[bool]
) -> tuple[list[str | None], float]:
    """The corrected lines, None for a removed one, and the share of the page's words that were removed."""
    if not settings.correct:
        return list(page.lines), 0.0
    scale = page.characters_per_word
    lines: list[str | None] = []
    removed = 0.0
    for line, kind, heading in zip(page.lines, page.kinds, headings, strict=True):
        corrected = _correct_line(line, heading, scale, settings) if kind == LineKind.PROSE else line
        if corrected != line:
            removed += count_line_words(line, scale) - (count_line_words(corrected, scale) if corrected else 0)
        lines.append(corrected)
    total = sum(page.line_words) if removed else 1.0
    return lines, removed / max(1.0, total)


def _correct_line(line: str, heading: bool, scale: int, settings: RefinedWebSettings) -> str | None:
    if not line[0].isalpha() and (_DIGITS_ONLY.fullmatch(line) or _COUNTER.fullmatch(line)):
        return None
    if not heading and ((not scale and " " not in line and "\t" not in line) or _is_upper_case(line, settings)):
        return None
    if (
        len(line) < _MAX_LINE
        and count_line_words(line, scale) <= settings.max_read_more_words
        and _READ_MORE.search(line)
    ):
        return _READ_MORE.sub("", line).strip() or None
    return line


def _is_upper_case(line: str, settings: RefinedWebSettings) -> bool:
    """Measured on the first 200 characters: long lines do not change from capitals to lower case."""
    beginning = line[:_MAX_LINE]
    if settings.max_upper_case is None or beginning.islower():
        return False
    upper = sum(map(str.isupper, beginning))
    return upper >= _MIN_CAPITALS and upper > settings.max_upper_case * sum(map(str.isalpha, beginning))
