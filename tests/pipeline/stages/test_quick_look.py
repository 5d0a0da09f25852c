"""quick_look: its drop reasons, pages that must pass, and equal texts from the extractor after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents import Document, Dropped, Kind, Page
from pipeline.extraction.parsed_page import ParsedPage
from pipeline.stages import extract_text, quick_look
from pipeline.stages.quick_look import QuickLookReason, QuickLookSettings
from tests.pipeline.stages.close_texts import CLOSE

LOOK = quick_look.build(QuickLookSettings())
EXTRACT = extract_text.build(extract_text.ExtractTextSettings())
SENTENCE = "The miller looks at the grain before he buys it from the farmer. "
GERMAN = "Der Müller sieht sich das Korn an, bevor er es dem Bauern abkauft, und das dauert seine Zeit. "


def page(html: str, **fields: object) -> Page:
    return Page("http://example.org/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, html.encode(), **fields)  # type: ignore[arg-type]


def drop(html: str, **options: object) -> Dropped:
    answer = quick_look.build(QuickLookSettings(**options))(page(html))  # type: ignore[arg-type]
    assert isinstance(answer, Dropped)
    assert answer.stage == "quick_look"
    return answer


def passes(stage: Callable[[Page], Page | ParsedPage | Dropped], source: Page) -> bool:
    answer = stage(source)
    return (answer.page if isinstance(answer, ParsedPage) else answer) is source


def test_too_few_words_on_the_whole_page() -> None:
    answer = drop(f"<p>{SENTENCE * 3}</p><script>{SENTENCE * 90}</script>")
    assert (answer.reason, answer.value, answer.threshold) == (QuickLookReason.WOULD_BE_TOO_SHORT, 39, 50)
    assert answer.excerpt.startswith("The miller looks")
    assert passes(LOOK, page(f"<p>{SENTENCE * 5}</p>"))


def test_too_few_sentences_on_a_whole_page_of_prose() -> None:
    filler = "<p>Price list 1.20 example.com</p>" * 40
    answer = drop(f"<p>{SENTENCE}</p>{filler}")
    assert (answer.reason, answer.value, answer.threshold) == (QuickLookReason.WOULD_LACK_SENTENCES, 1, 2)
    for other in ("<pre>x = 1;\ny = 2;</pre>", "<table><tr><th>a<th>b<tr><td>c<td>d</table>"):
        source = page(f"<p>{SENTENCE}</p>{filler}{other}")
        assert passes(LOOK, source)


def test_a_page_that_is_certainly_in_an_unwanted_language() -> None:
    answer = drop(f"<p>{GERMAN * 9}</p>", languages=["en"])
    assert (answer.reason, answer.threshold, answer.detail) == (QuickLookReason.WOULD_BE_UNWANTED_LANGUAGE, 0.9, "de")
    german = page(f"<p>{GERMAN * 9}</p>")
    assert passes(quick_look.build(QuickLookSettings(languages=("de",))), german)
    assert passes(LOOK, german)  # every language is wanted unless some are named
    mixed = page(f"<p>{GERMAN * 9}</p><p>{SENTENCE * 12}</p>")
    assert passes(quick_look.build(QuickLookSettings(languages=("en",))), mixed)


def test_a_page_in_a_language_close_to_a_wanted_one_goes_on_to_identify_language() -> None:
    croatian = page(f"<p>{CLOSE['hr'] * 3}</p>")
    assert passes(quick_look.build(QuickLookSettings(languages=("bs",))), croatian)
    assert isinstance(quick_look.build(QuickLookSettings(languages=("sl",)))(croatian), Dropped)


def test_scripts_without_spaces_are_not_counted_in_words() -> None:
    chinese = page(
        "<p>磨坊主在从农夫那里买粮食之前先看看粮食然后他们谈论天气和今年的收成以及河边的水车。磨坊旁边有一条河流过村庄和田野。</p>"
    )
    assert passes(LOOK, chinese)
    assert drop("<p>磨坊主在看粮食。</p>").reason is QuickLookReason.WOULD_BE_TOO_SHORT


@pytest.mark.parametrize(
    "source",
    [
        page("hello", kind=Kind.TEXT),
        page("<div>" * 400 + "x"),  # too deep: extract_text drops it
        page("<p>x</p>" + '<script type="application/ld+json">{"articleBody": "a long text"}</script>'),
        page(""),
    ],
)
def test_pages_that_it_must_not_drop(source: Page) -> None:
    assert passes(LOOK, source)


def test_it_can_be_switched_off_and_leaves_large_pages_alone() -> None:
    short = page("<p>short</p>")
    assert passes(quick_look.build(QuickLookSettings(enabled=False)), short)
    assert passes(quick_look.build(QuickLookSettings(max_bytes=5)), short)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["p", "div", "li", "td", "pre", "h2"]), min_size=6, max_size=30), st.integers(0, 3))
def test_extract_text_gives_the_same_with_and_without_it(tags: list[str], menus: int) -> None:
    menu = "<ul>" + "<li><a href='/x'>Another page</a></li>" * 5 + "</ul>"
    body = "".join(f"<{tag}>{SENTENCE}</{tag}>" for tag in tags)
    source = page(f"<html><head><title>Mill</title></head><body>{menu * menus}{body}{menu}</body></html>")
    alone = EXTRACT(source)
    parsed = LOOK(source)
    assert isinstance(parsed, ParsedPage)
    assert parsed.page is source
    assert EXTRACT(parsed) == alone
    assert EXTRACT(parsed) == alone  # its tree has been taken: the page is parsed again
    assert isinstance(alone, Document)


def test_excerpts_have_no_marks() -> None:
    answer = drop("<h1>On <code>x  =  1</code> and <math><mi>x</mi></math></h1><pre>a\n  b\n\tc</pre>")
    assert answer.excerpt
    assert not any("\U000f0000" <= character <= "\U000fffff" for character in answer.excerpt)
