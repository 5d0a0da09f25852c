"""RefinedWeb's line corrections: Penedo et al. 2023 (arXiv 2306.01116), appendix G.2, with the values of DCLM's recipe.

Lines go that are mostly capitals, only digits, a counter of a social network, or one word; "read more" and the like
are cut off short lines; and a page that loses more than 5% of its words this way is dropped.

Ours: a one-word or all-capitals line stays when it is the heading of what follows, or stands in verse; list items,
code, tables and formulas are not asked; lines of a few letters (an abbreviation) are not capitals; the counters and
phrases are known in several languages.
"""

from __future__ import annotations

import re

from pydantic import Field

import pipeline.settings
from pipeline.heuristics.rules import Reason, Rule
from pipeline.heuristics.text_parts import Form, Parts
from pipeline.text import count_line_words

_COUNTER = re.compile(
    r"\W*\d[\d.,]*\s?(?:k|m|b|mio|mln|tsd)?\.?\s+"
    r"(?:likes?|shares?|comments?|retweets?|reposts?|quotes?|bookmarks?|upvotes?|downvotes?|downloads?|views?|followers?"
    r"|kommentare?|aufrufe|gefällt mir|commentaires?|partages?|vues|comentarios?|compartidos|seguidores|visitas"
    r"|commenti|condivisioni|reacties|komentarz[ey]?|комментари\w+|просмотр\w*|σχόλια)\W*",
    re.IGNORECASE,
)
_DIGITS_ONLY = re.compile(r"[\d\s.,:;/()%+-]+")
_ASIDES = re.compile(
    r"^\W*(?:sign[ -]in|log[ -]in|anmelden|se connecter|iniciar sesión)\b\W*"
    r"|\W*\b(?:read more|weiterlesen|mehr lesen|lire la suite|leer más|continua a leggere|lees verder)\b\W*$"
    r"|\b\d* ?items? in (?:your )?(?:cart|basket)\b",
    re.IGNORECASE,
)
_FEW_LETTERS = 8
_LONG_LINE = 200  # characters; asides stand in shorter ones


class Settings(pipeline.settings.Settings):
    correct: bool = True  # false leaves every line as it is
    max_upper_case: float | None = Field(0.5, ge=0, le=1)  # of a line's letters
    max_aside_words: int = Field(10, ge=0)  # asides are cut from lines no longer than this
    max_corrected: float | None = Field(0.05, ge=0, le=1)  # share of the page's words that corrections may take


RULES = (Rule(Reason.CORRECTED_TOO_MUCH, "refinedweb_corrected", "max_corrected"),)
SIGNALS = ("refinedweb_corrected",)


def correct(page: Parts, settings: Settings, headings: list[bool]) -> tuple[list[str | None], float]:
    """Every line as it should be, None for those to go; and the share of the words that went."""
    if not settings.correct:
        return list(page.lines), 0.0
    scale = page.characters_per_word
    lines: list[str | None] = []
    gone = 0.0
    for line, form, heading in zip(page.lines, page.forms, headings, strict=True):
        corrected = _corrected(line, heading, scale, settings) if form == Form.PROSE else line
        if corrected != line:
            gone += count_line_words(line, scale) - (count_line_words(corrected, scale) if corrected else 0)
        lines.append(corrected)
    total = sum(page.line_words) if gone else 1.0
    return lines, gone / max(1.0, total)


def _corrected(line: str, heading: bool, scale: int, settings: Settings) -> str | None:
    if not line[0].isalpha() and (_DIGITS_ONLY.fullmatch(line) or _COUNTER.fullmatch(line)):
        return None
    if not heading and ((not scale and " " not in line and "\t" not in line) or _is_shouted(line, settings)):
        return None
    if len(line) < _LONG_LINE and count_line_words(line, scale) <= settings.max_aside_words and _ASIDES.search(line):
        return _ASIDES.sub("", line).strip() or None
    return line


def _is_shouted(line: str, settings: Settings) -> bool:
    """By its beginning: nobody starts a long line in capitals to go on in small letters."""
    beginning = line[:_LONG_LINE]
    if settings.max_upper_case is None or beginning.islower():
        return False
    upper = sum(map(str.isupper, beginning))
    return upper >= _FEW_LETTERS and upper > settings.max_upper_case * sum(map(str.isalpha, beginning))
