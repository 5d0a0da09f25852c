"""Menus are removed; prose with links is kept."""

from __future__ import annotations

from lxml.html import document_fromstring

from pipeline.extraction.link_boxes import remove_link_boxes

LINK = "<a href='/x'>Another page</a> "


def test_a_menu_is_removed_and_prose_with_links_is_kept() -> None:
    prose = "The mill stands by the river, and its wheel has turned since the days of the old king. "
    tree = document_fromstring(
        f"<body><ul>{LINK * 5}</ul><div>{prose}{LINK * 3}</div><div>{prose}{LINK * 9}</div></body>"
    )
    remove_link_boxes(tree)
    assert tree.find(".//ul") is None
    assert len(tree.findall(".//div")) == 2


def test_few_links_are_not_a_menu() -> None:
    tree = document_fromstring(f"<body><ul>{LINK * 3}</ul><p>text</p></body>")
    remove_link_boxes(tree)
    assert tree.find(".//ul") is not None
