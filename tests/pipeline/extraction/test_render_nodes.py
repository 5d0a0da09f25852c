"""Chosen blocks are rendered with the structure that their nodes have, and nothing of them is lost."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.extraction.blocks import read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from pipeline.extraction.marks import StructureCounts
from pipeline.extraction.render_nodes import render
from tests.pipeline.extraction.rendering_help import render_html, text_of

PARAGRAPHS = {
    "a heading is a paragraph": ("<h1>A</h1><p>b</p>", "A\n\nb"),
    "a heading of several parts": ("<h2><div>A</div><div>B</div></h2>c", "A B\n\nc"),
    "a question in a button": (
        "<h3><button aria-expanded=false>Why?</button></h3><div>Because.</div>",
        "Why?\n\nBecause.",
    ),
    "a bare button before a panel": ("<button>Why?</button><div>Because.</div>", "Why?\n\nBecause."),
    "an opener that asks nothing": ("<button aria-expanded=false>Returns</button><div>Yes.</div>", "Returns\n\nYes."),
    "buttons that do something": ("<p>a</p><button>Add to basket</button> <button>Share</button>", "a"),
    "a button that was never closed": (f"<button>Menu<p>{'word ' * 50}</p>", f"Menu\n\n{'word ' * 50}".strip()),
    "hidden without a name": ("<div style='display: none'><p>spam</p></div><p>a</p><p>b</p>", "a\n\nb"),
    "hidden until opened": ("<div id=p2 style='display: none'>panel</div><p>a</p><p>b</p>", "panel\n\na\n\nb"),
    "sections that an app shows": (
        "<p>a</p><section style='display: none'>b</section><section style='display: none'>c</section>",
        "a\n\nb\n\nc",
    ),
    "hidden with data": ("<div data-tab=2 style='display: none'>panel</div><p>a</p><p>b</p>", "panel\n\na\n\nb"),
    "a page hidden until it is loaded": ("<div style='display: none'><p>a</p><p>b</p></div>", "a\n\nb"),
    "off the screen": ("<p>a</p><div class=x style='position:absolute; left:-9999px'>spam</div>", "a"),
    "details": ("<details><summary>Why?</summary>Because.</details>", "Why?\n\nBecause."),
    "anchors of headings are left out": ("<h2>A<a href='#a'>¶</a></h2>", "A"),
    "paragraphs without p": (
        "<div>one<p>two</p>three</div><center>four</center><x-box>five</x-box><label>six</label>",
        "one\n\ntwo\n\nthree\n\nfour\n\nfive\n\nsix",
    ),
    "one break is a line, two are a paragraph": ("a<br>b<br><br>c<br> <br>d", "a\nb\n\nc\n\nd"),
    "an address": ("<address>Mill Lane 1<br>Ely</address>", "Mill Lane 1\nEly"),
    "a figure": ("<figure><img src=x alt=y><figcaption>The mill</figcaption></figure>", "The mill"),
    "a quotation": ("<p>a</p><blockquote><p>b</p><p>c</p></blockquote>", "a\n\nb\n\nc"),
    "inline quotation marks": ("<p>He said <q>no</q> and <q>“yes”</q>.</p>", "He said “no” and “yes”."),
    "white space collapses": ("<p> a\n\t b&nbsp;c <b> d</b>e<wbr>f</p>", "a b c de f".replace("e f", "ef")),
    "parts of a word stay together": ("<p><b>M</b>ill<i>s</i><span>tone</span></p>", "Millstone"),
    "parts of a word with a class, too": ("<p><b class=cap>M</b>ill<i class=x>s</i> 1<b class=x>2</b></p>", "Mills 12"),
    "labels without a space": (
        "<p><b class=a>Ann</b><i class=b>Miller</i><b class=c>May 2</b></p>",
        "Ann Miller May 2",
    ),
    "numbers that end and begin labels": (
        "<p><b class=a>Jan 1</b><i class=b>3 replies</i> <b class=p>$100</b><i class=q>$80</i> <b class=x>1</b>2</p>",
        "Jan 1 3 replies $100 $80 12",
    ),
    "what is struck through and what replaces it": (
        "<p><strike>100</strike>80, €9<s>€12</s>, <del>was</del><ins>is</ins>, colou<del>r</del>s</p>",
        "100 80, €9 €12, was is, colours",
    ),
    "scripts without spaces": ("<p><b class=a>水</b><i class=b>車</i></p>", "水車"),
    "neighboring links are apart": ("<p><a href=a>Rye</a><a href=b>Oats</a></p>", "Rye Oats"),
    "ruby": (
        "<p><ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を<ruby>読<rt>よ</rt></ruby>む</p>",
        "漢字(かんじ)を読(よ)む",
    ),
    "right to left stays as it is": ("<p dir=rtl>שלום <bdi>ABC</bdi> عالم</p>", "שלום ABC عالم"),
    "hidden parts of a line": ("<p>seen <span style='display: none'>spam</span><i hidden>x</i>too</p>", "seen too"),
    "invisible characters": ("<p>soft&shy;ly &#8203;a&#xfeff;b می‌خواهم</p>", "softly ab می\u200cخواهم"),
    "noscript": ("<noscript><p>a post</p></noscript>", "a post"),
    "a declarative shadow root": ("<x-a><template shadowrootmode=open><p>seen</p></template></x-a>", "seen"),
    "long posts in items": (
        f"<ul><li><p>{'Ann says. ' * 30}</p><p>One.</p></li><li><p>{'Bob says. ' * 40}</p><p>Two.</p></li></ul>",
        f"{'Ann says. ' * 30}\n\nOne.\n\n{'Bob says. ' * 40}\n\nTwo.".replace(" \n", "\n"),
    ),
    "labels of code": ("<div>js</div><pre class=language-js>f()</pre>", "```js\nf()\n```"),
    "posts one after the other": (
        "<ol class=posts><li><h4>Ann</h4><p>One.</p></li><li><h4>Bob</h4><p>Two.</p></li></ol>",
        "Ann\n\nOne.\n\nBob\n\nTwo.",
    ),
}

SCRIPTS = {
    "<p>3.3 × 10<sup>25</sup> molecules</p>": "3.3 × 10^25 molecules",
    "<p>10<sup>−6</sup> is small</p>": "10^−6 is small",
    "<p>12 m<sup>2</sup>, H<sub>2</sub>O, x<sub>1</sub><sup>2</sup></p>": "12 m², H₂O, x₁²",
    "<p><i>x</i><sup>n+1</sup> and <i>v</i><sub>max</sub></p>": "x^(n+1) and v_max",
    "<p>the 19<sup>th</sup>, le 1<sup>er</sup>, M<sup>me</sup></p>": "the 19th, le 1er, Mme",
    "<p>guild<sup>2</sup> of millers<sup><a href='#n3'>3</a></sup>.<sup>[4]</sup></p>": "guild[2] of millers[3].[4]",
    "<p>2<sup>10</sup>5 and x<sub>ij</sub>y, £<b>12</b><sup>50</sup></p>": "2^(10)5 and x_(ij)y, £12.50",
    "<p><sup>1</sup>University<br><sup>2</sup> Institute<br><sup>a</sup>Dept. B<br><sup>235</sup>Uranium</p>": (
        "[1] University\n[2] Institute\n[a] Dept. B\n235Uranium"
    ),
    "<p>1<sup>1</sup>/<sub>2</sub> cups, <sup>3</sup>⁄<sub>4</sub> cup</p>": "1 1/2 cups, 3⁄4 cup",
}  # fmt: skip

LISTS = {
    "<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li><li>d</li></ul>": "- a\n  - b\n    1. c\n- d",
    "<ol style='list-style: none'><li>1.1 a</li><li>1.2 b</li></ol>": "- 1.1 a\n- 1.2 b",
    "<ol><li><pre><code>f()</code></pre>b<li><table><tr><th>a<th>b<tr><td>1<td>2</table><li>c</ol>": (
        "1.\n\n```\nf()\n```\n\n   b\n2.\n\n| a | b |\n| 1 | 2 |\n\n3. c"
    ),
    "<ol start=9><li>a</li><li>b</li></ol>": "9. a\n10. b",
    "<ol reversed><li>a</li><li value=7>b</li><li>c</li></ol>": "3. a\n7. b\n6. c",
    "<ul><li><div>a</div><p>b</p></li><li></li><li>c<br>d</li></ul>": "- a\n  b\n- c\n  d",
    "<ul><li>a</li><ul><li>b</li></ul></ul>": "- a\n  - b",
    "<ul><li><div>▢</div><p>a</p><li><p>|</p><li><p>✓</p>b<li><code>|</code></ul>": "- a\n- b\n- `|`",
    "<dl><dt>Rye<dd>a grain<dt>Oats<dd>another</dl>": "Rye\na grain\nOats\nanother",
    "<ol><li>Run<pre><code>ls\n  -l</code></pre>now</li><li>Stop</li></ol>": (
        "1. Run\n\n```\nls\n  -l\n```\n\n   now\n2. Stop"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "text"), PARAGRAPHS.values(), ids=PARAGRAPHS)
def test_paragraphs(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(("source", "text"), SCRIPTS.items())
def test_numbers_stay_true(source: str, text: str) -> None:
    assert text_of(source) == text


@pytest.mark.parametrize(("source", "text"), LISTS.items())
def test_lists(source: str, text: str) -> None:
    assert text_of(source) == text


def test_structures_are_counted() -> None:
    source = (
        "<p>a <code>b</code></p><pre><code>c</code></pre><math><mi>x</mi></math><ul><li>d<ul><li>e</ul></ul>\\(y\\)"
    )
    table = "<table><tr><th>a<th>b<tr><td>c<td>d</table>"
    assert render_html(source + table)[1] == StructureCounts(code=2, formulas=2, tables=1, lists=2)


def test_the_tree_stays_as_it_is() -> None:
    tree, _ = parse_html(b"<ul><li>a<sup>2</sup></ul><pre>x<br>y</pre><table><tr><td rowspan=9>c</table>")
    assert tree is not None
    before = html.unescape(str(tree.xpath("string()"))), len(list(tree.iter()))
    blocks = read_blocks(tree)
    texts = [render(blocks, [True] * len(blocks.texts), "markdown") for _ in range(2)]
    assert texts[0] == texts[1]
    assert (html.unescape(str(tree.xpath("string()"))), len(list(tree.iter()))) == before


# --- the choice ---


def test_only_chosen_blocks_are_given() -> None:
    source = "<div><p>one</p>two<p>three</p>four</div><nav>five</nav>"
    assert text_of(source, lambda text: text in ("two", "three")) == "two\n\nthree"


TABLE = "<table><tr><th>Grain<th>Price<tr><td>Rye, of the best kind<td>3</table>"


@pytest.mark.parametrize(
    ("source", "left_out", "text"),
    [
        (TABLE, {"3"}, "| Grain | Price |\n| Rye, of the best kind | 3 |"),
        (TABLE, {"Grain", "Rye, of the best kind"}, ""),
        ("<ul><li>Rye is a grain</li><li>Oats</li></ul>", {"Oats"}, "- Rye is a grain\n- Oats"),
        ("<ul><li>Rye is a grain<button>Copy</button></li><li hidden>x</ul>", {"Copy", "x"}, "- Rye is a grain"),
        ("<ul><li><p>a post of Ann</p><p>x</p></li><li><p>y</p><p>z</p></li></ul>", {"x", "z"}, "- a post of Ann\n- y"),
        ("<pre><code>if a:<div>  b</div></code></pre>", {"b"}, "```\nif a:\n  b\n```"),
    ],
)
def test_units_are_given_whole_or_not_at_all(source: str, left_out: set[str], text: str) -> None:
    assert text_of(source, lambda block: block not in left_out) == text


# --- any page ---

WORD = st.text("abcdefghij", min_size=1, max_size=5)
FLOW_TAGS = st.sampled_from(
    [
        "div",
        "p",
        "h2",
        "section",
        "blockquote",
        "center",
        "x-y",
        "li",
        "dd",
        "td",
        "span",
        "b",
        "a",
        "i",
        "label",
        "form",
    ]
)


def trees(tags: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        WORD.map(lambda word: f" {word} "),
        lambda inner: st.tuples(tags, st.lists(inner, min_size=1, max_size=4)).map(
            lambda parts: f"<{parts[0]}>{''.join(parts[1])}</{parts[0]}>"
        ),
        max_leaves=25,
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(trees(FLOW_TAGS), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_words_of_chosen_blocks_come_in_order(parts: list[str], random: Any) -> None:
    tree, _ = parse_html(encode_source("".join(parts)))
    assert tree is not None
    blocks = read_blocks(tree)
    chosen = [random.random() < 0.6 for _ in blocks.texts]
    text, _ = render(blocks, chosen)
    wanted = [
        word for block, is_chosen in zip(blocks.texts, chosen, strict=True) if is_chosen for word in block.split()
    ]
    assert re.findall(r"[a-j]+", text) == wanted


STRUCTURE_TAGS = st.sampled_from(
    ["ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "td", "th", "thead", "tbody", "caption", "pre", "code", "p",
     "div", "sup", "h3", "a"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(trees(STRUCTURE_TAGS), min_size=1, max_size=4))
def test_no_word_of_lists_tables_and_code_is_lost(parts: list[str]) -> None:
    """Cells that span nothing, items and lines of code: every word comes once."""
    source = "".join(parts)
    for text_format in ("text", "markdown"):
        text, _ = render_html(source, text_format)  # type: ignore[arg-type]
        assert sorted(re.findall(r"[a-j]+", text)) == sorted(re.findall(r"[a-j]+", re.sub(r"<[^>]*>", " ", source)))


PIECES = """
    <p> </p> <div> </div> <pre> </pre> <code> </code> <table> <tr> <td> </td> </table> <ul> <li> </ul> <math> </math>
    <annotation&#32;encoding='application/x-tex'> <script&#32;type='math/tex'> </script> <br> <a&#32;href=x> </a> &#0;
    &#1; &#xB; &#xFFFE; &#65535; &#xD800; &#x80; &amp; &#983045; <![CDATA[ ]]> <!-- --> <?x < > " ' word. 漢字。 $x$
    \\( \\) <svg> </svg> <q> <dl> <dd> <dt> <blockquote> <h2> <form> <noscript> <td&#32;colspan=99> <sup> <sub> </sup>
    <mfrac> <msup> <mi> <td&#32;rowspan=0> <ol&#32;start=-5> <li&#32;value=x> <ruby> <rt>
    <img&#32;class=latex&#32;alt=x> <div&#32;class=syntaxhighlighter> <div&#32;class=line>
    <span&#32;class=katex> <template&#32;shadowrootmode=open>
"""


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES.split()) | st.text(max_size=8), max_size=60),
    st.sampled_from(["text", "markdown"]),
    st.integers(1, 7),
)
def test_any_markup_is_rendered(pieces: list[str], text_format: Any, every: int) -> None:
    soup = " ".join(pieces).replace("&#32;", " ")
    tree, _ = parse_html(encode_source(soup))
    if tree is not None:
        blocks = read_blocks(tree)
        chosen = [number % every == 0 for number in range(len(blocks.texts))]
        text, _ = render(blocks, chosen, text_format)
        assert text == text.strip()
        assert not any(0xF0000 <= ord(character) <= 0xF000B for character in text)


@pytest.mark.parametrize(
    "source",
    [
        "<ul><li>" * 120 + "x",
        "<blockquote>" * 240 + "x",
        "<table><tr><td>" * 80 + "x",
        "<code><div>" * 120 + "x",
        "<sup>" * 240 + "x",
        "<math>" + "<mrow><msqrt>" * 110 + "<mi>x</mi></math>",
        "<dl><dd>" * 120 + "x",
    ],
)
def test_deep_pages_are_rendered(source: str) -> None:
    for text_format in ("text", "markdown"):
        assert "x" in render_html(source, text_format)[0]  # type: ignore[arg-type]
