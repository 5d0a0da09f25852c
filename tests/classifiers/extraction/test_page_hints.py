"""Addresses and heads hint at the kind of a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.extraction.blocks import Head
from classifiers.extraction.page_hints import page_hints


@pytest.mark.parametrize(
    ("url", "hint", "value"),
    [
        ("https://a.example/forum/viewtopic.php?t=1", "address_forum", 1),
        ("https://a.example/2024/05/a-long-title", "address_article", 1),
        ("https://a.example/2024/05/a-long-title", "address_hyphens", 2),
        ("https://a.example/2024/05/a-long-title", "address_depth", 3),
        ("https://a.example/2024/05/a-long-title#part", "address_digits", 6),
        ("https://a.example/?q=1", "address_query", 1),
        ("https://a.example", "address_depth", 0),
        ("http://[broken/x", "address_depth", 1),
        ("not a url", "address_depth", 0),
    ],
)
def test_addresses(url: str, hint: str, value: int) -> None:
    assert page_hints(url, Head("", {}, ""))[hint] == value


def test_types_of_structured_data_are_counted() -> None:
    head = Head("", {"og:type": "Product.item"}, '{"@type": "Product"} {"@type":["Offer"]} {"@type": "NewsArticle"}')
    hints = page_hints("", head)
    assert (hints["schema_product"], hints["schema_article"], hints["og_product"]) == (2, 1, 1)


@given(st.text())
def test_no_address_fails(url: str) -> None:
    page_hints(url, Head("", {}, ""))
