"""Floors for the F1 of the learned engine on pages of every type and in six languages, of our own making.

`python -m tests.benchmarks.extraction` measures real pages; these are few, easy and always there.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from classifiers.training.block_labels import words_of
from pipeline.documents import Page
from pipeline.extraction.engines import ExtractionOptions, build_engine
from pipeline.extraction.parsed_page import parse_page
from tests.benchmarks.extraction_sets import Example, score_own
from tests.pipeline.extraction.typed_pages import TypedPage, typed_pages

FLOORS = {
    "article": 0.93, "forum": 0.97, "listing": 0.97, "collection": 0.97, "product": 0.97, "documentation": 0.97,
    "service": 0.97,
}  # fmt: skip


@pytest.fixture(scope="module")
def scores() -> list[tuple[TypedPage, float]]:
    engine = build_engine(ExtractionOptions("learned", "text", 1.0, 800, comments=False, tables=True))
    found = []
    for typed in typed_pages():
        page = Page(typed.url, "2026-01-01T00:00:00Z", "a.warc.gz", 0, typed.html.encode(), http_charset="utf-8")
        text = engine(parse_page(page, 10**7, 10**5)).text
        found.append((typed, score_own(text, Example(page, typed.page_type, text=typed.gold))[2]))
    return found


def means(scores: list[tuple[TypedPage, float]], key: str) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for typed, f1 in scores:
        groups[getattr(typed, key)].append(f1)
    return {name: sum(values) / len(values) for name, values in groups.items()}


def test_no_type_of_page_falls_below_its_floor(scores: list[tuple[TypedPage, float]]) -> None:
    found = means(scores, "page_type")
    assert {name: round(value, 3) for name, value in found.items() if value < FLOORS[name]} == {}
    assert found.keys() == FLOORS.keys()


def test_no_language_falls_behind(scores: list[tuple[TypedPage, float]]) -> None:
    found = means(scores, "language")
    assert {name: round(value, 3) for name, value in found.items() if value < 0.96} == {}
    assert len(found) == 6


def test_the_gold_is_in_the_pages() -> None:
    for typed in typed_pages():
        shown = set(words_of(typed.html))
        assert set(words_of(typed.gold)) <= shown
