"""RefinedWeb's line corrections: Penedo et al. 2023 (arXiv 2306.01116), appendix G.2, with the values of DCLM's recipe.

Lines that are mostly capital letters, only digits, a counter of a social network or a single word are removed; phrases
like "read more" are cut from short lines; a page that loses more than 5% of its words this way is dropped.

Differences from the paper, so that no rule damages what it keeps or drops a page for one line:

- a line of one word or in capitals is kept if it is a heading or part of verse; list items, code, tables and formulas
  are never corrected; a line with fewer than 8 capital letters (an abbreviation) does not count as capitals;
- sentences in capitals are kept on pages that are mostly in lower case: clauses of licenses, contracts and recalls;
- phrases are cut only where they stand by themselves: "Log in as root." and "We should all read more." are sentences;
- lines of numbers with commas are sequences, not page numbers;
- a page is dropped for three or more corrected lines; counters and phrases of several languages are recognized.
"""

from __future__ import annotations

import re
import string

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
_SEQUENCE = re.compile(r"\d+[,;]\s(?:[\d\s.,;-]*[,;]\s)?[\d.-]+")  # 1, 1, 2, 3, 5, 8
_READ_MORE = re.compile(
    r"^\W*(?:sign[ -]in|log[ -]in|anmelden|se connecter|iniciar sesión)(?=\W*$|\s*[|/·•»>]|\s+(?:or|oder|ou|o)\s)\W*"
    r"|(?:^\W*|(?<=[.…!?»|:>)])\W*|\s+(?-i:(?=[RWMLC])))"
    r"\b(?:read more|weiterlesen|mehr lesen|lire la suite|leer más|continua a leggere|lees verder)\b\W*$"
    r"|^\W*\d*\s?items? in (?:your )?(?:cart|basket)\b\W*$",
    re.IGNORECASE,
)
_MIN_CAPITALS = 8
# The bytes of ASCII characters that are no capitals. Most lines have few others, which takes a third of the time of
# asking every character.
_NO_CAPITALS = bytes(set(range(128)) - set(string.ascii_uppercase.encode()))
_MAX_LINE = 200  # characters: phrases are searched in shorter lines, capitals counted in this much of a line
# A sentence in capitals: this many words, and a mark at its end other than the exclamation mark of advertisements.
_CLAUSE_WORDS = 8
_CLAUSE_ENDS = (".", ":", ";", ".)", '."', ".”", "。")
# A heading in capitals: at most this many words, before a paragraph of at least that many that is not in capitals.
_HEADING_WORDS = 12
_PARAGRAPH_WORDS = 20
_ADVERTISEMENT = re.compile(r"\b(?:BUY|SALE|FREE|NOW|TODAY|CLICK|CALL|ORDER|SAVE|OFF|SUBSCRIBE|DOWNLOAD)\b|[!%$€£]")


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
    min_corrected_lines: int = Field(3, ge=1, description="corrected lines below which a page always passes")


RULES = (Rule(HeuristicReason.CORRECTED_TOO_MUCH, "refinedweb_corrected_counted", "max_corrected"),)
SIGNALS = ("refinedweb_corrected", "refinedweb_corrected_counted")


def correct_lines(
    page: TextParts, settings: RefinedWebSettings, headings: list[bool]
) -> tuple[list[str | None], dict[str, float]]:
    """The corrected lines, None for a removed one, and the share of the page's words that were removed as signals.

    `refinedweb_corrected_counted`, which the rule reads, needs `min_corrected_lines`.
    """
    if not settings.correct:
        return list(page.lines), {"refinedweb_corrected": 0.0}
    scale = page.characters_per_word
    upper = _find_capitals(page, settings)
    kept = _find_kept_capitals(page, upper)
    lines: list[str | None] = []
    removed, changed = 0.0, 0
    for number, (line, kind, heading) in enumerate(zip(page.lines, page.kinds, headings, strict=True)):
        may_stay = heading or number in kept
        is_upper = number in upper
        corrected = _correct_line(line, may_stay, is_upper, scale, settings) if kind == LineKind.PROSE else line
        if corrected != line:
            changed += 1
            removed += count_line_words(line, scale) - (count_line_words(corrected, scale) if corrected else 0)
        lines.append(corrected)
    total = sum(page.line_words) if removed else 1.0
    share = removed / max(1.0, total)
    counted = {"refinedweb_corrected_counted": share} if changed >= settings.min_corrected_lines else {}
    return lines, {"refinedweb_corrected": share, **counted}


def _find_capitals(page: TextParts, settings: RefinedWebSettings) -> set[int]:
    """Lines in capitals."""
    return {
        number
        for number, (line, kind) in enumerate(zip(page.lines, page.kinds, strict=True))
        if kind == LineKind.PROSE and _is_upper_case(line, settings)
    }


def _find_kept_capitals(page: TextParts, upper: set[int]) -> set[int]:
    """Lines in capitals that are sentences, or headings of a paragraph, on a page that is mostly in lower case."""
    if not upper or sum(page.line_words[number] for number in upper) > sum(page.line_words) / 2:
        return set()
    return {number for number in upper if _is_clause(page, number) or _is_capital_heading(page, number, upper)}


def _is_clause(page: TextParts, number: int) -> bool:
    line = page.lines[number]
    return page.line_words[number] >= _CLAUSE_WORDS and line.endswith(_CLAUSE_ENDS) and "!" not in line


def _is_capital_heading(page: TextParts, number: int, upper: set[int]) -> bool:
    following = number + 1
    return (
        page.line_words[number] <= _HEADING_WORDS
        and following < len(page.lines)
        and following not in upper
        and page.kinds[following] == LineKind.PROSE
        and page.line_words[following] >= _PARAGRAPH_WORDS
        and not _ADVERTISEMENT.search(page.lines[number])
    )


def _correct_line(line: str, may_stay: bool, is_upper: bool, scale: int, settings: RefinedWebSettings) -> str | None:
    if not line[0].isalpha() and (_DIGITS_ONLY.fullmatch(line) or _COUNTER.fullmatch(line)):
        return line if _SEQUENCE.fullmatch(line) else None
    if not may_stay and ((not scale and " " not in line and "\t" not in line) or is_upper):
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
    may_be_capitals = beginning.encode("utf-8", "surrogatepass").translate(None, _NO_CAPITALS)
    if len(may_be_capitals) < _MIN_CAPITALS:
        return False
    upper = sum(map(str.isupper, beginning))
    return upper >= _MIN_CAPITALS and upper > settings.max_upper_case * sum(map(str.isalpha, beginning))
