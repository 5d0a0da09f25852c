"""Sets of pages with gold for `tests.benchmarks.extraction`, and how a text is scored on each.

- wcxb: WCXB's development part; word F1 on multisets of lower-case `\\w+`, its own measure.
- own: the measuring half of our own gold; the same by words (characters in scripts without spaces), where words that
  careful readers could decide both ways count neither for nor against.
- articles: gold texts of articles; F1 of the mean precision and the mean recall of word 4-grams.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from classifiers.data.extraction_gold import (
    GoldPage,
    check_pieces,
    read_own_gold,
    read_piece_labels,
    read_shared_gold,
    read_wcxb,
    text_pieces,
)
from classifiers.extraction.blocks import TAIL, TEXT, read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from classifiers.language import load_language_model
from classifiers.training.block_labels import words_of
from pipeline.documents import Page

ARTICLES = ("daniel-waddle", "newspaper-family")
_WORD = re.compile(r"\w+")
_SCRIPTS = {
    "zh": "Chinese", "ja": "Japanese", "ko": "Korean", "ru": "Cyrillic", "bg": "Cyrillic", "uk": "Cyrillic",
    "el": "Greek", "ar": "Arabic", "fa": "Arabic", "he": "Hebrew", "hi": "Devanagari", "bn": "Bengali", "th": "Thai",
    "my": "Burmese",
}  # fmt: skip

Words = Counter[str]
Grams = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Example:
    """A page with its gold."""

    page: Page
    kind: str  # page type, or language of the article
    group: str = ""  # script of own gold, source of an article
    text: str = ""
    either: Words = field(default_factory=Counter)


def wcxb(data: Path) -> Iterator[Example]:
    for gold in read_wcxb(data):
        yield Example(_page(gold), gold.page_type, "wcxb", gold.text)


def own(data: Path) -> Iterator[Example]:
    labels = [row for row in read_piece_labels() if row.split == "measure"]
    for gold in read_own_gold(data, labels):
        assert gold.labels is not None
        main, either = _texts_of_pieces(gold)
        script = _SCRIPTS.get(gold.labels.language, "Latin")
        yield Example(_page(gold), gold.page_type, script, main, Counter(words_of(either)))


def articles(data: Path) -> Iterator[Example]:
    identify = load_language_model().identify
    for gold in read_shared_gold(data, ARTICLES):
        yield Example(_page(gold), identify(gold.text[:2_000])[0], gold.source, gold.text)


def _page(gold: GoldPage) -> Page:
    """The decoded page as UTF-8: all engines get the same characters."""
    return Page(
        gold.url,
        "2026-01-01T00:00:00Z",
        "gold",
        0,
        gold.html.encode("utf-8", "replace"),
        http_charset="utf-8",
        registered_domain=gold.registered_domain,
    )


def _texts_of_pieces(gold: GoldPage) -> tuple[str, str]:
    """The text of the pieces that are main content, and of those that may be; only of what browsers show."""
    labels = gold.labels
    tree, _ = parse_html(encode_source(gold.html))
    assert labels is not None
    assert tree is not None
    pieces = text_pieces(tree)
    check_pieces(labels, pieces)
    blocks = read_blocks(tree)
    shown = {(id(node), kind) for node, kind in zip(blocks.piece_nodes, blocks.piece_kinds, strict=True)}
    texts = []
    for runs in (labels.main, labels.either):
        numbers = [number for first, last in runs for number in range(first, last + 1)]
        chosen = [pieces[number] for number in numbers if number < len(pieces)]
        texts.append(" ".join(text for node, tail, text in chosen if (id(node), TAIL if tail else TEXT) in shown))
    return texts[0], texts[1]


def score_words(text: str, example: Example) -> tuple[float, float, float]:
    """Precision, recall and F1 of one page, as WCXB counts."""
    return _score(Counter(_WORD.findall(text.lower())), Counter(_WORD.findall(example.text.lower())))


def score_own(text: str, example: Example) -> tuple[float, float, float]:
    found, wanted = Counter(words_of(text)), Counter(words_of(example.text))
    undecided = (found - wanted) & example.either
    return _score(found - undecided, wanted)


def _score(found: Words, wanted: Words) -> tuple[float, float, float]:
    if not found or not wanted:
        same = float(not found and not wanted)
        return same, same, same
    common = (found & wanted).total()
    return common / found.total(), common / wanted.total(), 2 * common / (found.total() + wanted.total())


def score_grams(text: str, example: Example) -> tuple[float, float, float]:
    """Precision and recall of the word 4-grams of one page; F1 is taken of their means."""
    found, wanted = _grams(text), _grams(example.text)
    common = (found & wanted).total()
    if not wanted:
        return float(not found), 1.0, 0.0
    precision = common / found.total() if found else 0.0
    return precision, common / wanted.total(), 0.0


def _grams(text: str) -> Grams:
    words = words_of(text)
    return Counter(zip(*(words[start:] for start in range(4)), strict=False))
