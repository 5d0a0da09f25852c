"""A page becomes text blocks; every text that browsers show is in exactly one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml.html import HtmlElement, document_fromstring

from classifiers.extraction.blocks import (
    ARIA_HIDDEN,
    ATTRIBUTE_HIDDEN,
    BLOCK_TAGS,
    BOLD,
    BREAK,
    FORMULA,
    STYLE_HIDDEN,
    TAIL,
    TEXT,
    UNREAD_TAGS,
    PageBlocks,
    read_blocks,
)
from classifiers.extraction.parse_html import parse_html


def tree_of(html: str) -> HtmlElement:
    tree, _ = parse_html(html.encode())
    assert tree is not None
    return tree


def read(html: str) -> PageBlocks:
    return read_blocks(tree_of(html))


@pytest.mark.parametrize(
    ("html", "texts"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<div>before<p>in</p>after</div>", ["before", "in", "after"]),
        ("<p>a <b>bold</b> word", ["a bold word"]),
        ("<p>one<br>line", ["one line"]),
        ("one<br> <br>two<br/><br/><br/>three", ["one", "two", "three"]),
        ("one<br>two<br>three", ["one two three"]),
        ("<pre>one<br><br>two</pre>", ["one two"]),
        ("<table><tr><td>a<td>b</table>", ["a", "b"]),
        ("<h2><button>What?</button></h2><dl><dt>Q<dd>A</dl>", ["What?", "Q", "A"]),
        ("<p>shown<script>x()</script><style>b{}</style> on</p>", ["shown on"]),
        ("<noscript><p>post</p></noscript>", ["post"]),
        ("<p>one<noscript> &lt;img src=x&gt;</noscript><noscript>two</noscript>", ["one", "two"]),
        ("<x-card>one</x-card><x-card>two</x-card>", ["one", "two"]),
        ("<p>two <relative-time>days</relative-time> ago", ["two days ago"]),
        ("<div><template><p>not shown</p></template></div>", []),
        ("<x-a><template shadowrootmode=open><p>shown</p></template></x-a>", ["shown"]),
        ("<span>tag</span><span>cloud</span>", ["tag cloud"]),
        ("<select><option>Afghanistan</select><textarea>x</textarea>", []),
        ("<a href=/><h3>Title</h3><p>Teaser</p></a>", ["Title", "Teaser"]),
        ("<frameset><frame><noframes>old page</noframes></frameset>", ["old page"]),
        ("", []),
    ],
)
def test_blocks_end_at_block_level_elements(html: str, texts: list[str]) -> None:
    assert read(f"<html><head><title>t</title></head><body>{html}</body></html>").texts == texts


def test_columns_say_what_a_block_contains() -> None:
    page = read("<p>go <a href=/>home</a> <b>now</b><br>or</p><img><p><em class=x>a</em></p><p>go home now or")
    assert page.linked.tolist() == [4, 0, 0]
    assert page.links.tolist() == [1, 0, 0]
    assert page.images.tolist() == [0, 1, 0]
    assert page.marks.tolist() == [BOLD | BREAK, BOLD, 0]
    assert page.copies.tolist() == [0, 0, 1]
    assert page.inline_names == ["", "em x", ""]


def test_elements_know_their_names_and_why_they_are_hidden() -> None:
    page = read(
        "<div class='a b' id=c role=main>1</div><div style='color:red; display : none'>2</div><div hidden>3</div>"
        "<nav aria-hidden=true itemprop=text>4</nav><my-card class=k>5</my-card>"
    )
    assert page.names[2:] == ["a b #c @main", "", "", " @text", "k my-card"]
    assert page.hidden[2:].tolist() == [0, STYLE_HIDDEN, ATTRIBUTE_HIDDEN, ARIA_HIDDEN, 0]
    assert [BLOCK_TAGS[tag] for tag in page.tags[2:]] == ["div", "div", "div", "nav", "unknown"]


def test_elements_built_alike_have_one_path() -> None:
    page = read("<ul><li class=x>1<li class=x>2<li class=y>3</ul><ol><li class=x>4</ol>")
    path = page.paths[page.elements].tolist()
    assert path[0] == path[1]
    assert len(set(path)) == 3


def test_the_head_is_read_apart() -> None:
    page = read(
        "<html><head><title> The\n mill </title><meta name=Description content=d>"
        "<meta property='og:type' content=article><script type='application/ld+json'>{\"a\": 1}</script></head>"
        "<body>x<script type='application/ld+json'>{}</script>"
    )
    assert page.texts == ["x"]
    assert page.head.title == "The mill"
    assert page.head.metas == {"description": "d", "og:type": "article"}
    assert page.head.structured == '{"a": 1}\n{}'


@pytest.mark.parametrize(
    "formula",
    [
        "<math><mi>x</mi><annotation>x</annotation></math>",
        '<span class="katex"><span class="katex-mathml"><math><mi>x</mi></math></span><span>x</span></span>',
        '<script type="math/tex">x</script>',
        '<img class="latex" alt="x">',
        "<mjx-container><b>x</b></mjx-container>",
    ],
)
def test_a_formula_is_one_piece(formula: str) -> None:
    page = read(f"<p>Let {formula} be</p>")
    assert page.texts[0].startswith("Let x")
    assert page.texts[0].endswith("be")
    assert list(page.piece_kinds) == [TEXT, FORMULA, TAIL]


def pieces_of(page: PageBlocks, block: int) -> list[str]:
    found = []
    for piece in range(page.first_pieces[block], page.first_pieces[block + 1]):
        node, kind = page.piece_nodes[piece], page.piece_kinds[piece]
        found.append({TEXT: node.text, TAIL: node.tail, FORMULA: ""}[kind])
    return found


NAMES = st.sampled_from(
    ["div", "p", "span", "a", "b", "li", "ul", "table", "tr", "td", "pre", "br", "script", "option", "x-y", "template",
     "section", "h1", "button", "noscript", "svg", "title", "center"]
)  # fmt: skip
SOURCES = st.lists(
    st.one_of(
        NAMES.map("<{}>".format),
        NAMES.map("</{}>".format),
        st.sampled_from([" ", "\n", "word", "two words ", "<template shadowrootmode=open>", "<br><br>", "é", "日本語"]),
    ),
    max_size=60,
).map("".join)


@given(SOURCES)
def test_every_text_that_is_read_is_in_one_block(source: str) -> None:
    tree = tree_of(f"<html><body>x{source}")
    page = read_blocks(tree)
    unread = " or ".join(f"ancestor::{tag}" for tag in UNREAD_TAGS)
    shown = tree.xpath(
        f"//text()[not({unread} or ancestor::template[not(@shadowrootmode)])][normalize-space()]", smart_strings=False
    )
    pieces = [piece for block in range(len(page.texts)) for piece in pieces_of(page, block)]
    assert [piece for piece in pieces if piece.strip()] == [text for text in shown if text.strip()]
    for block, text in enumerate(page.texts):
        assert "".join(text.split()) == "".join("".join(pieces_of(page, block)).split())


@given(SOURCES)
def test_the_blocks_of_an_element_are_one_range(source: str) -> None:
    page = read(f"<html><body>x{source}")
    for element, node in enumerate(page.nodes):
        inside = {id(each) for each in node.iter()}
        blocks = [b for b, own in enumerate(page.elements) if id(page.nodes[own]) in inside]
        assert blocks == list(range(page.firsts[element], page.lasts[element]))
        if page.parents[element] >= 0:
            assert page.nodes[page.parents[element]] in list(node.iterancestors())


def test_a_page_as_deep_as_the_parser_allows_is_read_without_recursion() -> None:
    tree, _ = parse_html(b"<div>" * 240 + b"deep")
    assert tree is not None
    page = read_blocks(tree)
    assert page.texts == ["deep"]
    assert page.depths.max() == 242


def test_a_tree_of_another_parser_is_read_as_well() -> None:
    assert read_blocks(document_fromstring("<p>one<p>two")).texts == ["one", "two"]
