from __future__ import annotations

import pytest

from pipeline.reports.formatting import link


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "https:///nohost", "http://[broken", "ftp://a.b/c", "https://a.b/\nx"],
)
def test_no_link_to(url: str) -> None:
    assert link(url) == ""


def test_link_to_web_pages() -> None:
    assert link("https://a.example/b?c=d#e") == "https://a.example/b?c=d#e"
