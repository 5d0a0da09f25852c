"""Adult and hateful pages, found by the LDNOOBW word lists of the page's language and of English.

C4 drops a page for a single listed word, which also removes pages about health, law and news, and texts by minorities.
Here several different words must make up a share of the page, and words that are used in medicine, law or daily life
(pipeline/lists/words/everyday.txt) do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import Field

from pipeline import effects, storage
from pipeline.errors import UserError
from pipeline.heuristics.rules import HeuristicReason, Rule
from pipeline.heuristics.text_parts import TextParts
from pipeline.settings import Settings
from pipeline.text import CHARACTERS_PER_WORD, WORD

WORD_LISTS = Path(__file__).parent.parent / "lists" / "words"


class HarmfulWordsSettings(Settings):
    """Word lists, and the limit on the share of listed words."""

    lists: Path = Field(WORD_LISTS / "harmful", description="folder of <language>.txt files, one word or phrase a line")
    everyday: Path = Field(WORD_LISTS / "everyday.txt", description="file of listed words that do not count")
    min_different: int = Field(3, ge=1, description="different listed words below which a page always passes")
    max_per_1000_words: float | None = Field(10, ge=0, description="listed words per 1,000 words of prose")


RULES = (Rule(HeuristicReason.HARMFUL_WORDS, "harmful_per_1000_counted", "max_per_1000_words"),)
SIGNALS = ("harmful_words", "harmful_different", "harmful_per_1000", "harmful_per_1000_counted")


def read_list(path: Path) -> list[str]:
    """Entries of a word list, in lower case. Raises StorageError or UserError where the file cannot be read."""
    content = storage.read_named(path, "word list")
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"word list {path}: not UTF-8 ({error}); give a file with one entry a line") from None
    return [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]


def check_lists(settings: HarmfulWordsSettings) -> None:
    """Read every list. Raises StorageError for a list that cannot be read, UserError for a folder without lists."""
    lists = effects.find_files(str(settings.lists), ".txt")
    if not lists:
        raise UserError(
            f"filter_heuristics.harmful_words.lists: no <language>.txt in {settings.lists}; name another folder, or "
            "disable the rule with filter_heuristics.harmful_words.max_per_1000_words=off"
        )
    for path in (settings.everyday, *map(Path, lists)):
        read_list(path)


class WordMatcher:
    """Finds the listed words of one language: single words by set lookup, phrases and unspaced scripts by regex."""

    def __init__(self, entries: Iterable[str], spaced: bool) -> None:
        self.spaced = spaced
        entries = sorted(set(entries))
        if not spaced:
            entries = [entry for entry in entries if len(entry) > 1]  # single characters occur in many harmless words
        self.single = frozenset(entry for entry in entries if spaced and entry.isalpha())
        self.phrases = [entry for entry in entries if entry not in self.single and WORD.search(entry)]
        self.phrases_by_word: dict[str, list[tuple[str, frozenset[str]]]] = {}  # by the longest word: it is the rarest
        for phrase in self.phrases:
            words = frozenset(WORD.findall(phrase))
            self.phrases_by_word.setdefault(max(words, key=lambda word: (len(word), word)), []).append((phrase, words))

    def find(self, page: TextParts) -> list[str]:
        """Every occurrence of a listed word, unordered."""
        single = self.single & page.vocabulary
        hits = [word for word in page.words if word in single] if single else []
        if phrases := self._choose_phrases(page.vocabulary):
            phrases.sort(key=len, reverse=True)
            edge = r"\b" if self.spaced else ""
            hits += re.findall(f"{edge}(?:{'|'.join(map(re.escape, phrases))}){edge}", page.lowered)
        return hits

    def _choose_phrases(self, vocabulary: frozenset[str]) -> list[str]:
        """The phrases that the page may have. With spaces, it has all their words: few pages do, and of few phrases."""
        if not self.spaced:
            return list(self.phrases)
        found = sorted(self.phrases_by_word.keys() & vocabulary)
        return [phrase for word in found for phrase, words in self.phrases_by_word[word] if words <= vocabulary]


@cache
def load_matcher(settings: HarmfulWordsSettings, language: str) -> WordMatcher | None:
    """The matcher of a language; None for a language without a list."""
    path = settings.lists / f"{language}.txt"
    if not language.isalpha() or not storage.exists(str(path)):
        return None
    everyday = frozenset(read_list(settings.everyday))
    entries = (entry for entry in read_list(path) if entry not in everyday)
    return WordMatcher(entries, spaced=language not in CHARACTERS_PER_WORD)


def measure(page: TextParts, settings: HarmfulWordsSettings) -> dict[str, float]:
    """Count listed words; `harmful_per_1000_counted`, which the rule reads, needs `min_different` different ones."""
    hits: list[str] = []
    for language in dict.fromkeys(("en", page.language)):
        if (matcher := load_matcher(settings, language)) is not None:
            hits += matcher.find(page)
    share = 1000 * len(hits) / max(1.0, page.prose_words)
    different = len(set(hits))
    signals = {"harmful_words": float(len(hits)), "harmful_different": float(different), "harmful_per_1000": share}
    if different >= settings.min_different:
        signals["harmful_per_1000_counted"] = share
    return signals
