"""Text between the blocks of a page becomes paragraphs; images do not."""

from __future__ import annotations

from classifiers.extraction.parse_html import parse_html
from pipeline.extraction.marks import plain_text
from pipeline.extraction.prepare_tree import prepare_tree

PROSE = "The mill stands by the river, and its wheel has turned since the days of the old king."


def test_images_after_the_last_paragraph_do_not_become_a_paragraph() -> None:
    loose = "The council decided on Monday that the bridge over the river would be closed all winter."
    source = (
        f"<html><body><div>{loose}<p>{PROSE}</p><a href='/x'><img src='x.png'></a><br></div></body></html>".encode()
    )
    tree, _ = parse_html(source)
    assert tree is not None
    prepare_tree(tree, source)
    assert [plain_text(each).strip() for each in tree.iter("p")] == [loose, PROSE.strip()]
