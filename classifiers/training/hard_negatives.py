"""Text that no reader wants, made from real pages: what crawls are full of and the training folder has little of.

Bags of words cannot see shuffled words, so nothing is shuffled: these texts differ from articles by what they consist
of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from classifiers.data.page_text import TextRow
from classifiers.data.sampling import Split, fold_of, split_of
from classifiers.estimators.function_words import FUNCTION_WORDS

_Item = TypeVar("_Item")
_TEASERS = 9  # of a page of teasers
_MORE = ("Read more", "Continue reading", "[…]", "Weiterlesen", "Leer más", "Lire la suite")


def make_hard_negatives(rows: Sequence[TextRow]) -> Iterator[TextRow]:
    """Keyword text and lists of every tenth row, a page of teasers of every nine of one split and fold.

    A made row has the URL of one page, which decides where it may train: it must hold no text of another split or fold.
    """
    for kind, make in (("keywords", make_keyword_text), ("list", make_list)):
        yield from _made(kind, rows[::10], make)
    parts: dict[tuple[Split, int], list[TextRow]] = {}
    for row in rows:
        parts.setdefault((split_of(row.group), fold_of(row.group)), []).append(row)
    for part in parts.values():
        for batch in _batches(part, _TEASERS):
            if len(batch) == _TEASERS:
                yield replace(batch[0], id=f"{batch[0].id}-teasers", text=make_teasers([row.text for row in batch]))


def _made(kind: str, rows: Sequence[TextRow], make: Callable[[str], str]) -> Iterator[TextRow]:
    for row in rows:
        if text := make(row.text):
            yield replace(row, id=f"{row.id}-{kind}", text=text)


def make_keyword_text(text: str) -> str:
    """The page's frequent words in pairs, again and again, as pages for search engines have them."""
    words = [word for word, _ in Counter(_content_words(text)).most_common(12)]
    pairs = [f"{first} {second}" for first in words for second in words if first != second]
    return "\n".join(", ".join(line) for line in _batches(pairs[:60], 6))


def make_list(text: str) -> str:
    """The first words of each sentence, one a line: a menu."""
    sentences = [sentence.split()[:4] for sentence in text.replace("\n", " ").split(". ")]
    return "\n".join(" ".join(words).title() for words in sentences[:40] if len(words) > 1)


def make_teasers(texts: Sequence[str]) -> str:
    """The beginnings of several pages, each cut off."""
    return "\n\n".join(
        f"{' '.join(text.split()[:22])}... {_MORE[number % len(_MORE)]}" for number, text in enumerate(texts)
    )


def _content_words(text: str) -> list[str]:
    words = (word.strip(".,;:!?\"'()").lower() for word in text.split())
    return [word for word in words if len(word) > 3 and word not in FUNCTION_WORDS]


def _batches(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
