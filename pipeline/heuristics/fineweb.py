"""FineWeb's own page rules: Penedo et al. 2024 (arXiv 2406.17557), section 3.6 and the values of its code.

Repeated-line characters: FineWeb's code has 0.01 (the body of its paper says 0.1), behind an extraction that had taken
out repeated paragraphs before. Ours does not (its text would depend on other pages), and at 0.01 fifty good pages of
2,500 fell because a title, a caption or an ingredient stands twice; so 0.05. Lines are those of running text: items of
a list are short and unpunctuated by nature, and count only where lists are most of the page; short lines of one
paragraph (verse, ingredients) count as one.
"""

from __future__ import annotations

from pydantic import Field

import pipeline.settings
from pipeline.heuristics.rules import Reason, Rule
from pipeline.heuristics.text_parts import NO_SENTENCE_MARKS, SHORT_LINE, Parts
from pipeline.text import count_line_words

TERMINAL = tuple(".!?\"'”’»›)…。！？」』）؟۔।॥։፧።᙮;:")[:-2]
_SHORT_LINE_UNSPACED = 12  # a Chinese character is about two and a half Latin ones
_ENOUGH_PROSE = 50  # words of running text that let the list items out of account


class Settings(pipeline.settings.Settings):
    min_punctuated_lines: float | None = Field(0.12, ge=0, le=1)
    max_repeated_line_characters: float | None = Field(0.05, ge=0, le=1)  # FineWeb's code: 0.01
    max_short_lines: float | None = Field(0.67, ge=0, le=1)
    max_lines_per_word: float | None = Field(0.3, ge=0)


RULES = (
    Rule(Reason.TOO_FEW_PUNCTUATED_LINES, "fineweb_punctuated_lines", "min_punctuated_lines", at_least=True),
    Rule(Reason.TOO_MANY_SHORT_LINES, "fineweb_short_lines", "max_short_lines"),
    Rule(Reason.REPEATED_LINE_CHARACTERS, "fineweb_repeated_line_characters", "max_repeated_line_characters"),
    Rule(Reason.TOO_MANY_LINES, "fineweb_lines_per_word", "max_lines_per_word"),
)
SIGNALS = tuple(rule.signal for rule in RULES)


def measure(page: Parts) -> dict[str, float]:
    scale = page.characters_per_word
    blocks = page.blocks
    lines = blocks if sum(count_line_words(line, scale) for line in blocks) >= _ENOUGH_PROSE else page.blocks_and_lists
    if not lines or page.prose_words < _ENOUGH_PROSE:
        return {}
    limit = _SHORT_LINE_UNSPACED if scale else SHORT_LINE
    signals = {
        "fineweb_short_lines": sum(len(line) <= limit for line in lines) / len(lines),
        "fineweb_repeated_line_characters": _repeated(lines),
        "fineweb_lines_per_word": len(lines) / page.prose_words,
    }
    if page.language not in NO_SENTENCE_MARKS:
        signals["fineweb_punctuated_lines"] = sum(line.endswith(TERMINAL) for line in lines) / len(lines)
    return signals


def _repeated(lines: list[str]) -> float:
    seen: set[str] = set()
    repeated = 0
    for line in lines:
        if line in seen:
            repeated += len(line)
        seen.add(line)
    return repeated / sum(map(len, lines))
