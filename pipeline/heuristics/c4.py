"""C4's line and page rules (Raffel et al. 2020), with the values of the code that produced C4 (5 words, 3 sentences).

As in FineWeb, the rule that every line must end in punctuation is off by default: alone it removes 30% of the tokens.
The rules target menus, notices and placeholder text. These are kept although C4's own code would remove them:

- lines of code, tables, formulas and lists, headings (one or two short lines before a longer one), and short lines of a
  paragraph that is long enough as a whole (verse, addresses, ingredients);
- lines about JavaScript, cookies, terms of use and lorem ipsum that do not have the form of a notice or a placeholder
  (`notices.py`); `argv[1]` and other numbers in brackets on a page whose numbers are not footnotes;
- curly brackets in code and formulas. C4 drops a page for one bracket and for one "lorem ipsum"; here a line of a
  leaked script is removed, and the limits are shares of the lines and words that are left.
"""

from __future__ import annotations

import re
from collections import Counter
from math import ceil

from pydantic import Field

from pipeline.heuristics import notices
from pipeline.heuristics.distribution import load_reference
from pipeline.heuristics.rules import HeuristicReason, Rule
from pipeline.heuristics.text_parts import NO_SENTENCE_MARKS, LineKind, TextParts
from pipeline.settings import Settings
from pipeline.text import count_line_words

# Pandoc's rule for formulas: no space just inside the dollar signs, no digit after them. `$(x){ $("y")` is jQuery.
_INLINE_CODE = re.compile(r"`[^`\n]*`|\$\$[^$\n]+\$\$|\$(?!\s)[^$\n]+(?<!\s)\$(?!\d)")
_TERMINAL = tuple('.?!"”’»。！？…؟۔।։)')
# The lookbehind finds the first mark of a run: without it, 10,000 dots followed by a letter took 6.6 s. It comes after
# the mark because a regex that begins with a set of characters skips all others in one fast loop.
_SENTENCE_END = re.compile(r"[.!?…؟۔।։](?<![.!?…؟۔।։]{2})[.!?…؟۔।։]*+[\"'”’»)\]]*+(?=\s|$)", re.MULTILINE)
_WIDE_SENTENCE_ENDS = "。！？"
_WIDE_SENTENCE_END = re.compile(f"[{_WIDE_SENTENCE_ENDS}]+")
_MAX_PLACEHOLDERS = 0.05  # share of the prose words, as RefinedWeb has it for all corrections of a page
# A paragraph of short lines this many words above the line minimum is verse or an address, not a menu.
_MIN_EXTRA_WORDS = 3


class C4Settings(Settings):
    """C4's rules: lines to remove, then limits on the page."""

    min_words_per_line: int | None = Field(5, ge=0, description="remove lines with fewer words")
    max_word_characters: int | None = Field(1000, ge=1, description="remove lines with a longer word, in characters")
    end_punctuation: bool = Field(False, description="remove lines that do not end in punctuation")
    remove_citations: bool = Field(True, description="remove footnote marks, [edit] and [citation needed] from lines")
    remove_script_notices: bool = Field(True, description="remove lines that ask the reader to enable JavaScript")
    remove_policy_lines: bool = Field(True, description="remove lines about cookies, privacy policy or terms of use")
    max_notice_words: int = Field(
        40, ge=0, description="script and policy notices are lines of at most this many words"
    )
    remove_scripts: bool = Field(True, description="remove lines of scripts that stand between paragraphs")
    drop_lorem_ipsum: bool = Field(True, description='drop pages with more than 5% of their words in "lorem ipsum"')
    max_curly_lines: float | None = Field(
        0.1, ge=0, le=1, description="share of prose lines, but for one, with a curly bracket outside formulas; C4: 0"
    )
    min_sentences: int | None = Field(3, ge=0, description="sentences of the page's prose")
    max_characters: int | None = Field(None, ge=0, description="characters of the page; C4: 190,000")

    @property
    def max_lorem_ipsum(self) -> float | None:
        return _MAX_PLACEHOLDERS if self.drop_lorem_ipsum else None


RULES = (
    Rule(HeuristicReason.LOREM_IPSUM, "c4_lorem_ipsum", "max_lorem_ipsum"),
    Rule(HeuristicReason.CURLY_BRACKETS, "c4_curly_lines", "max_curly_lines"),
    Rule(HeuristicReason.TOO_FEW_SENTENCES, "c4_sentences", "min_sentences", at_least=True),
    Rule(HeuristicReason.TOO_MANY_CHARACTERS, "c4_characters", "max_characters"),
)
SIGNALS = ("c4_removed_lines", "c4_lorem_ipsum", "c4_curly_lines", "c4_sentences", "c4_characters")


def find_headings(page: TextParts, settings: C4Settings) -> list[bool]:
    """For each line: is it short and part of something longer (a heading before its text, a line of verse)?"""
    shortest = settings.min_words_per_line or 5
    counts = page.line_words
    long = [n >= shortest or kind != LineKind.PROSE for n, kind in zip(counts, page.kinds, strict=True)]
    lines_of, words_of = Counter(page.paragraph_of), Counter[int]()
    for number, n in zip(page.paragraph_of, counts, strict=True):
        words_of[number] += ceil(n)
    before_long = [any(long[i + 1 : i + 3]) for i in range(len(long))]  # two lines: a title may have a subtitle
    return [
        not is_long and (is_heading or (lines_of[number] > 1 and words_of[number] >= shortest + _MIN_EXTRA_WORDS))
        for is_long, is_heading, number in zip(long, before_long, page.paragraph_of, strict=True)
    ]


def correct_lines(
    page: TextParts, lines: list[str | None], settings: C4Settings, headings: list[bool]
) -> list[str | None]:
    """Apply C4's line rules to lines that RefinedWeb's rules have corrected; None marks a removed line."""
    corrected = list(lines)
    footnotes = "[" in page.prose_text and notices.has_footnotes(page.prose)
    if settings.remove_script_notices and "javascript" in page.lowered and notices.is_about_scripts(page.prose):
        settings = settings.model_copy(update={"remove_script_notices": False})
    may_have_notices = notices.may_have_notices(page.lowered)
    for number, line in enumerate(lines):
        if line is None or page.kinds[number] >= LineKind.TABLE:
            continue
        if settings.remove_citations and "[" in line:
            line = notices.remove_citations(line, footnotes)
        unchanged = line == page.lines[number]
        words = page.line_words[number] if unchanged else count_line_words(line, page.characters_per_word)
        may_be_short = headings[number] or page.kinds[number] == LineKind.LIST_ITEM
        # Without its footnote marks a line may have a phrase that the page does not have.
        is_notice = (may_have_notices or not unchanged) and _is_short_notice(line, words, settings)
        corrected[number] = None if is_notice or _must_remove(line, words, may_be_short, page, settings) else line
    return corrected


def _must_remove(line: str, words: float, may_be_short: bool, page: TextParts, settings: C4Settings) -> bool:
    longest = settings.max_word_characters
    if longest is not None and len(line) > longest and not page.characters_per_word and _longest_word(line) > longest:
        return True
    if settings.remove_scripts and "{" in line and _is_script(line, page.language):
        return True
    if may_be_short:
        return not line
    if settings.end_punctuation and (not line.endswith(_TERMINAL) or line.endswith("...")):
        return True
    return not line or (settings.min_words_per_line is not None and words < settings.min_words_per_line)


def _longest_word(line: str) -> int:
    return max(map(len, line.split()), default=0)


def _is_short_notice(line: str, words: float, settings: C4Settings) -> bool:
    if words > settings.max_notice_words:
        return False
    lowered = line.lower()
    if settings.remove_script_notices and notices.is_script_notice(lowered):
        return True
    return settings.remove_policy_lines and notices.is_policy_notice(lowered)


def _is_script(line: str, language: str) -> bool:
    rest = _INLINE_CODE.sub(_keep_if_unbalanced, line)
    return notices.is_leaked_script(rest, {**(load_reference(language) or {}), **(load_reference("en") or {})})


def measure(page: TextParts) -> dict[str, float]:
    """Measure the page for C4's page rules; a measurement that does not apply is left out."""
    has_filler = "lorem ipsum" in page.lowered or "dolor sit amet" in page.lowered
    placeholders = sum(len(line.split()) for line in notices.find_placeholders(page.prose)) if has_filler else 0
    signals = {
        "c4_lorem_ipsum": placeholders / max(1.0, page.prose_words),
        "c4_characters": float(len(page.text)),
    }
    if page.prose:
        curly = 0
        if "{" in page.prose_text:
            curly = sum("{" in _INLINE_CODE.sub(_keep_if_unbalanced, line) for line in page.prose if "{" in line)
        signals["c4_curly_lines"] = max(0, curly - 1) / len(page.prose)
    if page.prose and page.language not in NO_SENTENCE_MARKS and len(page.prose) >= len(page.lines) / 2:
        signals["c4_sentences"] = float(count_sentences(page.prose))
    return signals


def _keep_if_unbalanced(code: re.Match[str]) -> str:
    """Replace code and formulas by nothing; text between dollar signs with an unclosed brace is not a formula."""
    return code[0] if code[0][0] == "$" and code[0].count("{") != code[0].count("}") else ""


def count_sentences(lines: list[str]) -> int:
    """Number of sentence ends, plus one for every line that ends without a sentence end."""
    text = "\n".join(lines)
    ends = len(_SENTENCE_END.findall(text))
    if any(mark in text for mark in _WIDE_SENTENCE_ENDS):
        ends += len(_WIDE_SENTENCE_END.findall(text))
    return ends + sum(not line.endswith(_TERMINAL) for line in lines)
