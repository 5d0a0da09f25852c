"""C4's line and page rules: Raffel et al. 2020, with the values of the code that made the data (5 words, 3 sentences).

As in FineWeb, the rule that every line must end in punctuation is off: alone it takes 30% of the tokens. The rules were
meant against menus, notices and placeholder text, and so they spare here what is none of these:

- lines of code, tables, formulas and lists, headings (one or two short lines before a longer one), and short lines of a
  paragraph that is long enough as a whole (verse, addresses, ingredients);
- a line with "javascript" that does not also ask to enable something, or is long: tutorials speak of JavaScript too;
- longer lines that speak of cookies or terms: an article about privacy is none of its notices;
- curly brackets in code and formulas. C4 drops a page for one bracket; here for a share of its lines.
"""

from __future__ import annotations

import re
from collections import Counter
from math import ceil

from pydantic import Field

import pipeline.settings
from pipeline.heuristics.rules import Reason, Rule
from pipeline.heuristics.text_parts import NO_SENTENCE_MARKS, Form, Parts
from pipeline.text import count_line_words

_CITATION = re.compile(r"\[(?:\d{0,4}|edit|citation needed)\]")
_SCRIPT_NOTICE = re.compile(
    r"\b(?:enabled?|activate|turn(?:ed)? on|disabled|required?|support"
    r"|aktivier\w*|activ[aeé]\w*|habilit\w*|ativ\w*)\b"
)
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
# Pandoc's rule for formulas: no white space inside the dollars, no digit behind them. `$(x){ $("y")` is jQuery.
_INLINE_CODE = re.compile(r"`[^`\n]*`|\$\$[^$\n]+\$\$|\$(?!\s)[^$\n]+(?<!\s)\$(?!\d)")
_TERMINAL = tuple('.?!"”’»。！？…؟۔।։)')
_SENTENCE_END = re.compile(r"[.!?…؟۔।։]+[\"'”’»)\]]*(?=\s|$)|[。！？]+", re.MULTILINE)
_FEW_WORDS = 3  # more than the shortest line, and lines together are verse or an address rather than a menu


class Settings(pipeline.settings.Settings):
    min_words_per_line: int | None = Field(5, ge=0)
    max_word_characters: int | None = Field(1000, ge=1)  # a line with a longer word goes
    end_punctuation: bool = False  # lines without go
    remove_citations: bool = True  # [12], [edit], [citation needed]
    remove_script_notices: bool = True
    remove_policy_lines: bool = True
    max_notice_words: int = Field(40, ge=0)  # ours: longer lines are no notices
    drop_lorem_ipsum: bool = True
    max_curly_lines: float | None = Field(0.1, ge=0, le=1)  # C4's own rule is 0
    min_sentences: int | None = Field(3, ge=0)
    max_characters: int | None = Field(None, ge=0)  # C4: 190,000

    @property
    def max_lorem_ipsum(self) -> int | None:
        return 0 if self.drop_lorem_ipsum else None


RULES = (
    Rule(Reason.LOREM_IPSUM, "c4_lorem_ipsum", "max_lorem_ipsum"),
    Rule(Reason.CURLY_BRACKETS, "c4_curly_lines", "max_curly_lines"),
    Rule(Reason.TOO_FEW_SENTENCES, "c4_sentences", "min_sentences", at_least=True),
    Rule(Reason.TOO_MANY_CHARACTERS, "c4_characters", "max_characters"),
)
SIGNALS = ("c4_removed_lines", "c4_lorem_ipsum", "c4_curly_lines", "c4_sentences", "c4_characters")


def headings(page: Parts, settings: Settings) -> list[bool]:
    """Which short lines belong to something longer: a heading to its text, a line of verse to its paragraph."""
    shortest = settings.min_words_per_line or 5
    counts = page.line_words
    long = [n >= shortest or form != Form.PROSE for n, form in zip(counts, page.forms, strict=True)]
    lines_of, words_of = Counter(page.paragraph_of), Counter[int]()
    for number, n in zip(page.paragraph_of, counts, strict=True):
        words_of[number] += ceil(n)
    soon_long = [any(long[i + 1 : i + 3]) for i in range(len(long))]  # a title may have a subtitle
    return [
        not is_long and (soon or (lines_of[number] > 1 and words_of[number] >= shortest + _FEW_WORDS))
        for is_long, soon, number in zip(long, soon_long, page.paragraph_of, strict=True)
    ]


def correct(page: Parts, lines: list[str | None], settings: Settings, headings: list[bool]) -> list[str | None]:
    """The lines after C4's rules, None for those to go."""
    corrected = list(lines)
    for number, line in enumerate(lines):
        if line is None or page.forms[number] >= Form.TABLE:
            continue
        if settings.remove_citations and "[" in line:
            line = _CITATION.sub("", line).strip()
        unchanged = line == page.lines[number]
        words = page.line_words[number] if unchanged else count_line_words(line, page.characters_per_word)
        may_be_short = headings[number] or page.forms[number] == Form.LIST_ITEM
        corrected[number] = None if _goes(line, words, may_be_short, page, settings) else line
    return corrected


def _goes(line: str, words: float, may_be_short: bool, page: Parts, settings: Settings) -> bool:
    longest = settings.max_word_characters
    if longest is not None and len(line) > longest and not page.characters_per_word and _longest_word(line) > longest:
        return True
    if words <= settings.max_notice_words and _is_notice(line.lower(), settings):
        return True
    if may_be_short:
        return not line
    if settings.end_punctuation and (not line.endswith(_TERMINAL) or line.endswith("...")):
        return True
    return not line or (settings.min_words_per_line is not None and words < settings.min_words_per_line)


def _longest_word(line: str) -> int:
    return max(map(len, line.split()), default=0)


def _is_notice(lowered: str, settings: Settings) -> bool:
    if settings.remove_script_notices and "javascript" in lowered and _SCRIPT_NOTICE.search(lowered):
        return True
    return settings.remove_policy_lines and any(phrase in lowered for phrase in _POLICY)


def measure(page: Parts) -> dict[str, float]:
    signals = {"c4_lorem_ipsum": float(page.lowered.count("lorem ipsum")), "c4_characters": float(len(page.text))}
    if page.prose:
        curly = 0
        if "{" in page.prose_text:
            curly = sum("{" in _INLINE_CODE.sub(_unless_open, line) for line in page.prose if "{" in line)
        signals["c4_curly_lines"] = curly / len(page.prose)
    if page.prose and page.language not in NO_SENTENCE_MARKS and len(page.prose) >= len(page.lines) / 2:
        signals["c4_sentences"] = float(sentences(page.prose))
    return signals


def _unless_open(code: re.Match[str]) -> str:
    """Nothing for a formula; what opens braces without closing them is none."""
    return code[0] if code[0][0] == "$" and code[0].count("{") != code[0].count("}") else ""


def sentences(lines: list[str]) -> int:
    """Sentence ends, and a sentence for every line that stops without one."""
    ends = len(_SENTENCE_END.findall("\n".join(lines)))
    return ends + sum(not line.endswith(_TERMINAL) for line in lines)
