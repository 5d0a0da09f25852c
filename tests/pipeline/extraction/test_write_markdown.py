"""Markdown read by a Markdown parser has the structure of the page: headings, lists and their nesting, cells, code."""

from __future__ import annotations

import html
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from pipeline.extraction.structures import Code, Heading, Item, Listing, Paragraph, Quote, Table
from pipeline.extraction.write_markdown import write_markdown
from tests.pipeline.extraction.rendering_help import render_html

MARKDOWN = MarkdownIt("commonmark").enable("table")


def read_markdown(source: str) -> list[Any]:
    """Markdown as nested lists, by a parser that knows nothing of ours."""
    return [_read(node) for node in SyntaxTreeNode(MARKDOWN.parse(source)).children if node.type != "html_block"]


def _read(node: SyntaxTreeNode) -> Any:
    if node.type == "heading":
        return [node.tag, _inline(node)]
    if node.type == "paragraph":
        return ["p", _inline(node)]
    if node.type in ("fence", "code_block"):
        return ["pre", node.info, node.content.rstrip("\n")]
    if node.type in ("bullet_list", "ordered_list"):
        return [node.tag, *([_read(part) for part in item.children] for item in node.children)]
    if node.type == "blockquote":
        return ["blockquote", *(_read(child) for child in node.children if child.type != "html_block")]
    if node.type == "table":
        return ["table", *([_inline(cell) for cell in row.children] for part in node.children for row in part.children)]
    raise AssertionError(f"a {node.type} that the page does not have")


def _inline(node: SyntaxTreeNode) -> str:
    pieces = []
    for part in node.children[0].children if node.children else ():
        if part.type in ("text", "code_inline"):
            pieces.append(part.content)
        elif part.type in ("hardbreak", "softbreak"):
            pieces.append("\n")
        else:
            raise AssertionError(f"a {part.type} that the page does not have")
    return "".join(pieces)


# --- pages of any structure ---

SIGNS = "ab c1. 2) #*_-+=~`[](){}<>!&|\\:;\"'$/^éß漢한\u05d0"
LINE = (
    st.text(SIGNS, min_size=1, max_size=24)
    .map(lambda text: " ".join(unicodedata.normalize("NFC", text).split()))
    .filter(lambda text: bool(text) and "$" not in text and "\\(" not in text and "\\[" not in text)
)
CODE_LINE = st.text(SIGNS + "\t    ", max_size=20).map(lambda line: line.rstrip())
CODE = (
    st.lists(CODE_LINE, min_size=1, max_size=5)
    .map(lambda lines: "\n".join(lines).strip("\n"))
    .filter(lambda text: bool(text.strip()))
)
PARAGRAPH = LINE.map(lambda text: ["p", text])
HEADING = st.tuples(st.sampled_from(["h1", "h2", "h3", "h4", "h5", "h6"]), LINE).map(list)
BLOCK_OF_CODE = st.tuples(st.just("pre"), st.sampled_from(["", "python", "c++", "js"]), CODE).map(list)
TABLE = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(LINE, min_size=width, max_size=width), min_size=2, max_size=4).map(
        lambda rows: ["table", *rows]
    )
)


def says_something(part: list[Any]) -> bool:
    """Not a line that is drawn instead of a bullet, which is left out of items."""
    return part[0] != "p" or not set(part[1]) <= {"|", " "}


def may_be_in_an_item(part: list[Any]) -> bool:
    return part[0] not in ("blockquote", "table") and says_something(part)


def nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    item = st.tuples(PARAGRAPH.filter(says_something), st.lists(inner.filter(may_be_in_an_item), max_size=1)).map(
        lambda parts: [parts[0], *parts[1]]
    )
    lists = st.tuples(st.sampled_from(["ul", "ol"]), st.lists(item, min_size=1, max_size=4)).map(
        lambda parts: [parts[0], *parts[1]]
    )
    return lists | st.lists(inner, min_size=1, max_size=3).map(lambda parts: ["blockquote", ["p", "quoted"], *parts])


BLOCKS = st.lists(HEADING | st.recursive(PARAGRAPH | BLOCK_OF_CODE | TABLE, nest, max_leaves=8), min_size=1, max_size=6)


def write_html(block: list[Any]) -> str:
    name, *parts = block
    if name == "pre":
        of_class = f" class='language-{parts[0]}'" if parts[0] else ""
        return f"<pre><code{of_class}>{html.escape(parts[1])}</code></pre>"
    if name == "table":
        rows = ("".join(f"<{{0}}>{html.escape(cell)}</{{0}}>" for cell in row) for row in parts)
        header, *others = rows
        cells = "".join(f"<tr>{row.replace('{0}', 'td')}</tr>" for row in others)
        return f"<table><tr>{header.replace('{0}', 'th')}</tr>{cells}</table>"
    if name in ("ul", "ol"):
        items = (f"<li>{''.join(map(write_html, item))}</li>" for item in parts)
        return f"<{name}>{''.join(items)}</{name}>"
    if name == "blockquote":
        return f"<blockquote>{''.join(map(write_html, parts))}</blockquote>"
    return f"<{name}>{html.escape(parts[0])}</{name}>"


@settings(max_examples=400, deadline=None)
@given(BLOCKS)
def test_markdown_has_the_structure_of_the_page(blocks: list[Any]) -> None:
    text, _ = render_html("".join(map(write_html, blocks)), "markdown")
    assert read_markdown(text) == blocks


@settings(max_examples=300, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=4))
def test_lines_stay_lines(lines: list[str]) -> None:
    text, _ = render_html(f"<p>{'<br>'.join(map(html.escape, lines))}</p>", "markdown")
    assert read_markdown(text) == [["p", "\n".join(lines)]]


@settings(max_examples=300, deadline=None)
@given(st.text(SIGNS, min_size=1, max_size=12).filter(lambda text: bool(text.strip())), LINE)
def test_inline_code_is_given_exactly(code: str, before: str) -> None:
    text, _ = render_html(f"<p>{html.escape(before)} <code>{html.escape(code)}</code> z</p>", "markdown")
    assert read_markdown(text) == [["p", f"{before} {' '.join(code.split())} z"]]


@pytest.mark.parametrize(
    ("structures", "markdown"),
    [
        ([Listing([Item(3, [Paragraph("a")]), Item(4, [Paragraph("b")])])], ["3. a\n4. b"]),
        ([Table([["a", "b"], ["c", "d"]], 0)], ["|  |  |\n| --- | --- |\n| a | b |\n| c | d |"]),
        ([Heading(2, "C#")], ["## C\\#"]),
        ([Code("x", "python")], ["```python\nx\n```"]),
        ([Quote([Paragraph("a"), Paragraph("b")])], ["> a\n>\n> b"]),
        ([Paragraph("$5 and $6")], ["\\$5 and \\$6"]),
        ([Paragraph("only $5")], ["only $5"]),
        ([Paragraph("a \\(x_1*y\\) b")], ["a $x_1*y$ b"]),
    ],
)
def test_written_forms(structures: list[Any], markdown: list[str]) -> None:
    assert write_markdown(structures) == markdown
