"""Tables of data stay tables; tables that lay a page out become boxes."""

from __future__ import annotations

import pytest
from lxml.html import document_fromstring

from pipeline.extraction.layout_tables import unwrap_layout_tables


@pytest.mark.parametrize(
    ("table", "is_data"),
    [
        ("<table><tr><th>a</th></tr></table>", True),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table>", True),
        ("<table role=presentation><tr><th>a</th></tr></table>", False),
        ("<table><tr><td>1</td><td>2</td></tr></table>", False),
        (f"<table><tr><td>1</td><td>2</td></tr><tr><td>{'long ' * 100}</td><td>4</td></tr></table>", False),
    ],
)
def test_which_tables_hold_data(table: str, is_data: bool) -> None:
    tree = document_fromstring(table)
    assert unwrap_layout_tables(tree) == is_data
    assert bool(tree.findall(".//td") + tree.findall(".//th")) == (is_data or "presentation" in table)


def test_large_spans_are_removed() -> None:
    tree = document_fromstring("<table><tr><th colspan=2 rowspan=9999>a</th></tr></table>")
    unwrap_layout_tables(tree)
    assert dict(tree.find(".//th").attrib) == {"colspan": "2"}
