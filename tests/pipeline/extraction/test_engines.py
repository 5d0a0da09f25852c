"""The engines behind one function; the learned one on pages of several types."""

from __future__ import annotations

import pytest

from classifiers.extraction.model import PAGE_TYPES
from pipeline.documents import Page
from pipeline.extraction.engines import EngineName, Extracted, ExtractionOptions, build_engine
from pipeline.extraction.parsed_page import parse_page

PROSE = (
    "The mill stands by the river, and its wheel has turned since the days of the old king. Nobody remembers who built "
    "the weir, but the parish pays for it every second year, and the miller keeps the accounts in a green book. "
)
MENU = "<nav class='menu'><ul>" + "".join(f"<li><a href='/{n}'>Section {n}</a></li>" for n in range(12)) + "</ul></nav>"
FOOTER = "<footer><p><a href='/imprint'>Imprint</a> © 2026 All rights reserved</p></footer>"


def extract(
    body: str, engine: EngineName = "learned", url: str = "https://a.example/post/1", **options: object
) -> Extracted:
    chosen: dict[str, object] = {
        "name": engine, "text_format": "text", "recall_weight": 1.0, "fallback_below": 800, "comments": False,
        "tables": True, **options,
    }  # fmt: skip
    html = f"<html><head><title>The mill</title></head><body>{MENU}{body}{FOOTER}</body></html>"
    page = Page(url, "2026-01-01T00:00:00Z", "a.warc.gz", 0, html.encode())
    return build_engine(ExtractionOptions(**chosen))(parse_page(page, 10**6, 10**5))  # type: ignore[arg-type]


ARTICLE = f"<main><article><h1>The mill</h1><p>{PROSE}</p><p>{PROSE[::-1]}</p><p>{PROSE.upper()}</p></article></main>"


@pytest.mark.parametrize("engine", ["learned", "trafilatura", "resiliparse"])
def test_every_engine_finds_the_article(engine: EngineName) -> None:
    found = extract(ARTICLE, engine)
    assert PROSE.strip() in found.text
    assert "Section 7" not in found.text
    assert "Imprint" not in found.text


def test_all_posts_of_a_thread_are_kept() -> None:
    posts = "".join(
        f"<div class='post' id='p{n}'><div class='author'><a href='/u{n}'>user{n}</a></div>"
        f"<div class='post-body'><p>Post {n} begins. {PROSE}</p></div></div>"
        for n in range(6)
    )
    found = extract(
        f"<div class='thread'><h1>Why does the wheel stop</h1>{posts}</div>", url="https://a.example/forum/t/1"
    )
    assert [n for n in range(6) if f"Post {n} begins." in found.text] == list(range(6))
    assert PAGE_TYPES[int(found.signals["page_type"]) - 1] == "forum"


def test_signals_say_the_type_and_how_good_the_choice_is() -> None:
    signals = extract(ARTICLE).signals
    assert 1 <= signals["page_type"] <= len(PAGE_TYPES)
    assert 0.8 < signals["expected_f1"] <= 1
    assert 0.5 < signals["kept_share"] < 1
    assert extract(ARTICLE, "trafilatura").signals == {}


def test_structures_are_counted_in_the_page_and_in_the_text() -> None:
    code = "<pre><code>def f():\n    return 1\n</code></pre><ul><li>one thing to do<li>another</ul>"
    found = extract(ARTICLE.replace("</article>", f"<p>{PROSE}</p>{code}<p>More of it. {PROSE}</p></article>"))
    assert "    return 1" in found.text
    assert (found.text_counts.code, found.page_counts.code) == (1, 1)
    assert found.page_counts.lists == 2  # the menu is one


def test_text_in_json_is_read_where_the_page_shows_little() -> None:
    data = f'<script type="application/ld+json">{{"@type": "NewsArticle", "articleBody": "{PROSE * 4}"}}</script>'
    assert PROSE.strip() in extract(f"{data}<div id='root'></div>").text
    shown = f"{data.replace('The mill', 'Hidden mill')}{ARTICLE.replace(PROSE, PROSE * 3)}"
    assert "Hidden mill" not in extract(shown).text


def test_what_trafilatura_reads_in_the_html_replaces_no_choice() -> None:
    page = ARTICLE + '<script type="application/ld+json">{"@type": "Product"}</script>'
    found = extract(page, recall_weight=0.001)
    assert len(found.text) < len(extract(page, "trafilatura").text)
    assert found.signals.keys() == {"page_type", "expected_f1", "kept_share"}


def test_markdown_is_written_on_request() -> None:
    assert "# The mill" in extract(ARTICLE, text_format="markdown").text


def test_the_weight_of_recall_changes_what_is_kept() -> None:
    teasers = "<h2>Related</h2>" + "".join(
        f"<div class='x'><a href='/{n}'>Teaser {n}</a><p>{PROSE[:60]}</p></div>" for n in range(5)
    )
    little, much = (extract(ARTICLE + teasers, recall_weight=weight).text for weight in (0.02, 50.0))
    assert len(little) < len(much)


def test_the_same_page_gives_the_same_text_in_any_order_of_pages() -> None:
    first = extract(ARTICLE).text
    extract("<p>another page</p>")
    assert extract(ARTICLE).text == first


def test_a_page_without_text_gives_none() -> None:
    page = Page("https://a.example/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, b"<html><body><img src=x></body></html>")
    options = ExtractionOptions("learned", "text", 1.0, 800, False, True)
    assert build_engine(options)(parse_page(page, 10**6, 10**5)).text == ""
