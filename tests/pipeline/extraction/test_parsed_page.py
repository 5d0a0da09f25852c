"""A parsed page: its caps, its title, and a tree that is taken once and never leaves the process."""

from __future__ import annotations

import pickle

import pytest

from pipeline.documents import Page
from pipeline.extraction.parsed_page import PageRefusedError, ParsedPage, RefusedReason, parse_page


def parse(html: str, max_bytes: int = 10**6, max_nodes: int = 10**4) -> ParsedPage:
    page = Page("http://example.org/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, html.encode())
    return parse_page(page, max_bytes, max_nodes)


def test_the_tree_is_taken_once() -> None:
    parsed = parse("<title>Mill</title><p>one</p><p>two</p>")
    tree, _ = parsed.take_prepared()
    assert [paragraph.text for paragraph in tree.iter("p")] == ["one", "two"]
    assert parsed.is_taken
    with pytest.raises(RuntimeError, match="was taken"):
        parsed.take_prepared()


def test_it_cannot_be_sent_to_another_process() -> None:
    with pytest.raises(TypeError, match="cannot be pickled; send its `page`"):
        pickle.dumps(parse("<p>one</p>"))


def test_titles_have_no_marks() -> None:
    assert parse("<h1>On <code>x  =  1</code></h1><pre>a\n  b</pre>").title == "On x = 1"


@pytest.mark.parametrize(
    ("html", "caps", "expected"),
    [
        ("<p>12345</p>", {"max_bytes": 11}, (RefusedReason.TOO_LARGE, 12, 11)),
        ("<p><b>1</b></p>", {"max_nodes": 1}, (RefusedReason.TOO_MANY_NODES, 2, 1)),
        ("<div>" * 400 + "x", {}, (RefusedReason.TOO_DEEP, None, 256)),
        ("", {}, (RefusedReason.NO_TEXT, 0, 1)),
    ],
)
def test_refused_pages(html: str, caps: dict[str, int], expected: tuple[object, ...]) -> None:
    with pytest.raises(PageRefusedError) as refused:
        parse(html, **caps)
    assert (refused.value.reason, refused.value.value, refused.value.threshold) == expected
