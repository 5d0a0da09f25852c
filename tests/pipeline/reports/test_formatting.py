"""Which URLs of pages become links in the report."""

from __future__ import annotations

import pytest

from pipeline.reports.formatting import link


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "https:///nohost", "http://[broken", "ftp://a.b/c", "https://a.b/\nx"],
)
def test_unsafe_urls_are_no_links(url: str) -> None:
    assert link(url) == ""


def test_web_pages_are_links() -> None:
    assert link("https://a.example/b?c=d#e") == "https://a.example/b?c=d#e"
