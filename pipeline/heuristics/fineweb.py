"""FineWeb's own page rules: Penedo et al. 2024 (arXiv 2406.17557), section 3.6, with the values of its code.

Repeated-line characters: FineWeb's code has 0.01 (the body of its paper says 0.1), after an extraction that removes
repeated paragraphs. Our extraction keeps them (otherwise a page's text would depend on other pages), and at 0.01 fifty
good pages of 2,500 were dropped because a title, a caption or an ingredient occurs twice; so the default is 0.05.

Lines are those of running text. List items are usually short and without punctuation, so they count only on pages that
consist mainly of lists; consecutive short lines of one paragraph (verse, ingredients) count as one line.
"""

from __future__ import annotations

from pydantic import Field

from pipeline.heuristics.rules import HeuristicReason, Rule
from pipeline.heuristics.text_parts import NO_SENTENCE_MARKS, SHORT_LINE, TextParts
from pipeline.settings import Settings
from pipeline.text import count_line_words

TERMINAL = tuple(".!?\"'”’»›)…。！？」』）؟۔।॥։፧።᙮;:")[:-2]
_SHORT_LINE_UNSPACED = 12  # characters; a Chinese character carries about as much as two and a half Latin ones
_MIN_PROSE_WORDS = 50  # with this much running text, list items are not counted


class FineWebSettings(Settings):
    """FineWeb's limits on the lines of a page."""

    min_punctuated_lines: float | None = Field(0.12, ge=0, le=1, description="share of lines that end in punctuation")
    max_repeated_line_characters: float | None = Field(
        0.05, ge=0, le=1, description="share of characters in lines that occurred before on the page; FineWeb: 0.01"
    )
    max_short_lines: float | None = Field(
        0.67, ge=0, le=1, description="share of lines of at most 30 characters (12 in languages without spaces)"
    )
    max_lines_per_word: float | None = Field(0.3, ge=0, description="lines divided by words of prose")


RULES = (
    Rule(HeuristicReason.TOO_FEW_PUNCTUATED_LINES, "fineweb_punctuated_lines", "min_punctuated_lines", at_least=True),
    Rule(HeuristicReason.TOO_MANY_SHORT_LINES, "fineweb_short_lines", "max_short_lines"),
    Rule(HeuristicReason.REPEATED_LINE_CHARACTERS, "fineweb_repeated_line_characters", "max_repeated_line_characters"),
    Rule(HeuristicReason.TOO_MANY_LINES, "fineweb_lines_per_word", "max_lines_per_word"),
)
SIGNALS = tuple(rule.signal for rule in RULES)


def measure(page: TextParts) -> dict[str, float]:
    """Measure the lines of the page; empty with fewer than 50 words of prose."""
    scale = page.characters_per_word
    blocks = page.blocks
    lines = (
        blocks if sum(count_line_words(line, scale) for line in blocks) >= _MIN_PROSE_WORDS else page.blocks_and_lists
    )
    if not lines or page.prose_words < _MIN_PROSE_WORDS:
        return {}
    limit = _SHORT_LINE_UNSPACED if scale else SHORT_LINE
    signals = {
        "fineweb_short_lines": sum(len(line) <= limit for line in lines) / len(lines),
        "fineweb_repeated_line_characters": _repeated_share(lines),
        "fineweb_lines_per_word": len(lines) / page.prose_words,
    }
    if page.language not in NO_SENTENCE_MARKS:
        signals["fineweb_punctuated_lines"] = sum(line.endswith(TERMINAL) for line in lines) / len(lines)
    return signals


def _repeated_share(lines: list[str]) -> float:
    """Share of characters in lines that occurred before; the first occurrence does not count."""
    seen: set[str] = set()
    repeated = 0
    for line in lines:
        if line in seen:
            repeated += len(line)
        seen.add(line)
    return repeated / sum(map(len, lines))
