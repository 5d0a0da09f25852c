"""A page's HTML rendered with all of its blocks, or those that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from classifiers.extraction.blocks import read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from pipeline.extraction.marks import StructureCounts
from pipeline.extraction.render_nodes import render
from pipeline.extraction.self_closed_code import open_self_closed_code


def render_html(
    html: str,
    text_format: Literal["text", "markdown"] = "text",
    choose: Callable[[str], bool] = lambda _: True,
) -> tuple[str, StructureCounts]:
    tree, _ = parse_html(open_self_closed_code(encode_source(html)))
    assert tree is not None
    blocks = read_blocks(tree)
    return render(blocks, [choose(text) for text in blocks.texts], text_format)


def text_of(html: str, choose: Callable[[str], bool] = lambda _: True) -> str:
    return render_html(html, "text", choose)[0]
