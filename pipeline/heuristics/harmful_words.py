"""Adult and hateful pages by their words: the LDNOOBW lists of the page's language and of English.

C4 drops a page for a single word, which takes health, law, news and the texts of minorities with it. Here several
different words must make up a share of the page, and words that have a use in medicine, law or daily life
(pipeline/lists/words/everyday.txt) do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import Field

import pipeline.settings
from pipeline.heuristics.rules import Reason, Rule
from pipeline.heuristics.text_parts import Parts
from pipeline.text import CHARACTERS_PER_WORD, WORD

WORDS = Path(__file__).parent.parent / "lists" / "words"


class Settings(pipeline.settings.Settings):
    lists: Path = WORDS / "harmful"  # a folder of <language>.txt
    everyday: Path = WORDS / "everyday.txt"
    min_different: int = Field(3, ge=1)  # with fewer different words, the share is not looked at
    max_per_1000_words: float | None = Field(10, ge=0)


RULES = (Rule(Reason.HARMFUL_WORDS, "harmful_per_1000_counted", "max_per_1000_words"),)
SIGNALS = ("harmful_words", "harmful_different", "harmful_per_1000", "harmful_per_1000_counted")


def read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"word list {path} cannot be read ({error}); give a UTF-8 file with one entry a line"
        ) from None
    return [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]


def check(settings: Settings) -> None:
    """Reads every list. Raises ValueError for one that cannot be read, and for a folder without any."""
    lists = sorted(settings.lists.glob("*.txt"))
    if not lists:
        raise ValueError(
            f"filter_heuristics.harmful_words.lists: no <language>.txt in {settings.lists}; name another folder, or "
            "let the rule pass with filter_heuristics.harmful_words.max_per_1000_words=off"
        )
    for path in (settings.everyday, *lists):
        read_list(path)


class Words:
    """The words of one language: single words by look-up, phrases (and scripts without spaces) by pattern."""

    def __init__(self, entries: Iterable[str], spaced: bool) -> None:
        entries = sorted(set(entries))
        if not spaced:
            entries = [entry for entry in entries if len(entry) > 1]  # one character is part of many harmless words
        self.single = frozenset(entry for entry in entries if spaced and entry.isalpha())
        others = [entry for entry in entries if entry not in self.single and WORD.search(entry)]
        others.sort(key=len, reverse=True)
        edge = r"\b" if spaced else ""
        self.phrases = re.compile(edge + f"(?:{'|'.join(map(re.escape, others))})" + edge) if others else None
        # A page without all words of a phrase cannot have it, and most pages have no phrase.
        self.phrase_words = [frozenset(WORD.findall(phrase)) for phrase in others] if spaced else [frozenset[str]()]

    def found(self, page: Parts) -> list[str]:
        """Every occurrence, in no order."""
        single = self.single & page.vocabulary
        hits = [word for word in page.words if word in single] if single else []
        if self.phrases is not None and any(words <= page.vocabulary for words in self.phrase_words):
            hits += self.phrases.findall(page.lowered)
        return hits


@cache
def words_of(settings: Settings, language: str) -> Words | None:
    path = settings.lists / f"{language}.txt"
    if not language.isalpha() or not path.is_file():
        return None
    everyday = frozenset(read_list(settings.everyday))
    return Words((entry for entry in read_list(path) if entry not in everyday), language not in CHARACTERS_PER_WORD)


def measure(page: Parts, settings: Settings) -> dict[str, float]:
    hits: list[str] = []
    for language in dict.fromkeys(("en", page.language)):
        if (words := words_of(settings, language)) is not None:
            hits += words.found(page)
    share = 1000 * len(hits) / max(1.0, page.prose_words)
    different = len(set(hits))
    signals = {"harmful_words": float(len(hits)), "harmful_different": float(different), "harmful_per_1000": share}
    if different >= settings.min_different:
        signals["harmful_per_1000_counted"] = share
    return signals
