"""Read a parsed page as text blocks: what stands between the boundaries of block-level elements, in document order.

One pass over the tree, without recursion, fills columns. Block-level elements are numbered in document order, so the
blocks of an element and of everything inside it are one range [firsts[e], lasts[e]), and a cumulative sum over blocks
answers any question about an element.

Where a block begins and ends:

- at the start and the end of every block-level element (`BLOCK_TAGS`), and of an element with an unknown name (custom
  elements among them) unless text of the block stands before it: `<p>two <relative-time>days</relative-time> ago` is
  one block, `<x-card>one</x-card><x-card>two</x-card>` is two;
- at the second of two `<br>` with nothing but white space between them, outside `pre`.

What is read: all text but that of `UNREAD_TAGS`. `<template>` is read if it is a declarative shadow root (browsers show
it), and `<noscript>` always (forums keep their posts there) unless it holds escaped markup, which browsers write when
they save a page. Hidden elements are read and marked (`hidden`).

For rendering, a block knows its pieces: block b has the pieces [first_pieces[b], first_pieces[b + 1]). Piece p is a
part of the node `piece_nodes[p]`, by `piece_kinds[p]`: TEXT is `node.text`, TAIL is `node.tail`, FORMULA is the whole
subtree of a formula (`math`, KaTeX, MathJax, an image of LaTeX, a `math/tex` script), whose inside gives no pieces.
Every text of the tree that is read is a piece of exactly one block, except white space before the first word of a block
and in no block. `nodes[e]` are the block-level elements, so a renderer that walks the tree meets the same boundaries by
looking them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from lxml import etree
from lxml.etree import _Element
from numpy.typing import NDArray

Integers = NDArray[np.int32]

TEXT, TAIL, FORMULA = range(3)

BLOCK_TAGS = (
    "html", "body", "main", "article", "section", "aside", "nav", "header", "footer", "div", "p", "h1", "h2", "h3",
    "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "menu", "table", "caption", "thead", "tbody", "tfoot",
    "tr", "td", "th", "pre", "blockquote", "figure", "figcaption", "form", "fieldset", "legend", "address",
    "center", "details", "summary", "hgroup", "dialog", "button", "label", "hr", "dir", "noscript", "template",
    "search", "noframes", "frameset", "xmp", "listing", "plaintext", "marquee", "multicol", "unknown",
)  # fmt: skip
TAG_NUMBER = {tag: number for number, tag in enumerate(BLOCK_TAGS)}
UNREAD_TAGS = (
    "head", "script", "style", "svg", "iframe", "object", "embed", "applet", "select", "datalist", "textarea", "audio",
    "video", "canvas", "map", "input", "noembed", "optgroup", "option", "param", "source", "track", "meta", "link",
    "base", "basefont", "bgsound", "keygen", "title", "area", "col", "colgroup", "progress", "meter",
)  # fmt: skip
_PLAIN_INLINE = (
    "span", "font", "abbr", "acronym", "big", "bdi", "bdo", "blink", "cite", "data", "del", "dfn", "ins", "mark",
    "nobr", "output", "q", "rb", "rp", "rt", "rtc", "ruby", "s", "slot", "small", "strike", "sub", "sup", "tt", "u",
    "var", "wbr",
)  # fmt: skip
_PREFORMATTED = ("pre", "xmp", "listing", "plaintext")
_FORMULA_TAGS = ("math", "m:math", "mml:math", "mjx-container")
_FORMULA_CLASSES = ("katex", "MathJax", "mjx-", "mwe-math", "ltx_Math")
_CLASS_CHARACTERS = 100  # of a class attribute; utility classes come in long rows and say little
_SHADOW_ROOT = ("shadowrootmode", "shadowroot")

# What a block contains, as bits of `marks`.
BOLD, CODE, TIME, BREAK = 1, 2, 4, 8
# Why an element is not shown, as bits of `hidden`.
STYLE_HIDDEN, ATTRIBUTE_HIDDEN, ARIA_HIDDEN = 1, 2, 4

# What the walk does with a tag: below _INLINE a number of a block-level tag.
_INLINE, _LINK, _MARKED, _IMAGE, _UNREAD, _BREAK, _FORMULA, _UNKNOWN = range(1000, 1008)
_NUMBER_OF_UNKNOWN = TAG_NUMBER["unknown"]
_MARK_OF = {"b": BOLD, "strong": BOLD, "em": BOLD, "i": BOLD, "code": CODE, "kbd": CODE, "samp": CODE, "time": TIME}
_ACTIONS = {
    **TAG_NUMBER,
    **dict.fromkeys(_PLAIN_INLINE, _INLINE),
    **dict.fromkeys(_MARK_OF, _MARKED),
    **dict.fromkeys(UNREAD_TAGS, _UNREAD),
    **dict.fromkeys(_FORMULA_TAGS, _FORMULA),
    "a": _LINK,
    "img": _IMAGE,
    "picture": _INLINE,
    "br": _BREAK,
}


@dataclass(frozen=True, slots=True)
class Head:
    """What the page says about itself."""

    title: str
    metas: dict[str, str]  # name or property in lower case -> content
    structured: str  # JSON-LD, unparsed


@dataclass(frozen=True, slots=True, eq=False)
class PageBlocks:
    """A page in columns."""

    head: Head
    # of each block-level element, in document order
    nodes: list[_Element]
    parents: Integers  # number of the element around it, -1 for the root
    tags: Integers  # index in BLOCK_TAGS
    paths: Integers  # number of the chain of (tag, class) from the root: equal for elements built alike
    names: list[str]  # class, #id, @role or @itemprop, a custom element's tag: what the author calls it
    hidden: Integers
    depths: Integers
    firsts: Integers
    lasts: Integers
    # of each block
    texts: list[str]  # white space collapsed
    elements: Integers  # number of the innermost block-level element around it
    linked: Integers  # characters inside links
    links: Integers
    images: Integers  # images since the block before
    marks: Integers
    copies: Integers  # blocks with the same text before it
    inline_names: list[str]  # tag and class of the inline element that it begins with
    first_pieces: Integers  # one more than there are blocks
    # of each piece
    piece_nodes: list[_Element]
    piece_kinds: bytearray

    @property
    def text(self) -> str:
        """The whole text of the page, a line for each block."""
        return "\n".join(self.texts)


def read_blocks(tree: _Element) -> PageBlocks:
    """The one pass over a tree of `parse_html`, which it leaves as it is. Linear in the nodes of the tree."""
    return _Walk().run(tree)


class _Walk:
    """The columns under way, and the state of the walk: the open elements, and the block that is not yet ended."""

    def __init__(self) -> None:
        self.head = Head("", {}, "")
        self.structured: list[str] = []
        self.nodes: list[_Element] = []
        self.names: list[str] = []
        self.elements: list[tuple[int, int, int, int, int, int]] = []  # parent, tag, path, hidden, depth, first
        self.lasts: list[int] = []
        self.texts: list[str] = []
        self.blocks: list[tuple[int, int, int, int, int, int]] = []  # element, linked, links, images, marks, copies
        self.inline_names: list[str] = []
        self.first_pieces: list[int] = []
        self.piece_nodes: list[_Element] = []
        self.piece_kinds = bytearray()
        self.paths: dict[tuple[int, int, str], int] = {}
        self.copies: dict[str, int] = {}
        self.open: list[tuple[int, int]] = []  # number and path of each open element
        # of the block under way
        self.words: list[str] = []
        self.inline_name = ""
        self.linked = self.links = self.images = self.marks = self.first_piece = 0
        self.after_break = False
        self.in_pre = 0

    def run(self, tree: _Element) -> PageBlocks:
        words, add_word = self.words, self.words.append
        add_node, add_kind = self.piece_nodes.append, self.piece_kinds.append
        nodes, opened, action_of = self.nodes, self.open, _ACTIONS.get
        innermost: Any = None  # of the open elements
        in_link = 0
        after_inline = False
        walker = etree.iterwalk(tree, events=("start", "end"))
        for event, node in walker:
            if event == "start":
                tag = node.tag
                action = action_of(tag, _UNKNOWN)
                if action == _UNKNOWN:
                    action = _INLINE if words else _NUMBER_OF_UNKNOWN
                elif (tag == "template" and not any(name in node.attrib for name in _SHADOW_ROOT)) or (
                    tag == "noscript" and (node.text or "").lstrip().startswith("<")
                ):
                    action = _UNREAD
                if action < _INLINE:
                    if words or self.inline_name or self.links:
                        self.end_block()
                    self.open_element(node, tag, action)
                    innermost = node
                    after_inline = False
                elif action <= _IMAGE:
                    of_class = node.get("class", "")
                    if of_class and _is_formula(of_class, action):
                        self.take_formula(node)
                        walker.skip_subtree()
                        continue
                    if action == _LINK:
                        in_link += 1
                        self.links += 1
                    elif action == _IMAGE:
                        self.images += 1
                    elif action == _MARKED:
                        self.marks |= _MARK_OF[tag]
                    if not words and not self.inline_name:
                        self.inline_name = f"{tag} {of_class}"
                    if after_inline and words and not self.in_pre:
                        add_word(" ")
                elif action == _BREAK:
                    self.take_break()
                    continue
                else:
                    walker.skip_subtree()
                    self.take_unread(node, tag, action)
                    continue
                text, kind = node.text, TEXT
            else:
                if node is innermost:
                    if words or self.inline_name or self.links:
                        self.end_block()
                    self.lasts[opened.pop()[0]] = len(self.texts)
                    innermost = nodes[opened[-1][0]] if opened else None
                    if self.in_pre and node.tag in _PREFORMATTED:
                        self.in_pre -= 1
                    after_inline = False
                else:
                    tag = node.tag
                    if tag == "a":
                        in_link -= 1
                    after_inline = after_inline or tag != "br"
                text, kind = node.tail, TAIL
            if text and (words or not text.isspace()):
                add_word(text)
                add_node(node)
                add_kind(kind)
                if in_link:
                    self.linked += len(text.strip())
                if self.after_break and not text.isspace():
                    self.after_break = False
                after_inline = False
        self.end_block()
        return self.finish()

    def open_element(self, node: _Element, tag: str, number: int) -> None:
        name, label, why_hidden = _describe(node)
        parent, path = self.open[-1] if self.open else (-1, -1)
        path = self.paths.setdefault((path, number, name), len(self.paths))
        self.open.append((len(self.nodes), path))
        self.nodes.append(node)
        self.names.append(label)
        self.elements.append((parent, number, path, why_hidden, len(self.open), len(self.texts)))
        self.lasts.append(0)
        if tag in _PREFORMATTED:
            self.in_pre += 1

    def end_block(self) -> None:
        text = " ".join("".join(self.words).split())
        self.words.clear()
        if text:
            copies = self.copies.get(text, 0)
            self.copies[text] = copies + 1
            self.texts.append(text)
            element = self.open[-1][0] if self.open else 0
            self.blocks.append((element, self.linked, self.links, self.images, self.marks, copies))
            self.inline_names.append(self.inline_name)
            self.first_pieces.append(self.first_piece)
            self.images = 0
        else:
            del self.piece_nodes[self.first_piece :], self.piece_kinds[self.first_piece :]
        self.first_piece = len(self.piece_nodes)
        self.inline_name = ""
        self.linked = self.links = self.marks = 0
        self.after_break = False

    def take_formula(self, node: _Element) -> None:
        self.words.append(_read_formula(node))
        self.piece_nodes.append(node)
        self.piece_kinds.append(FORMULA)

    def take_break(self) -> None:
        if self.after_break and self.words and not self.in_pre:
            self.end_block()
        elif self.words:
            self.words.append("\n")
            self.marks |= BREAK
            self.after_break = True

    def take_unread(self, node: _Element, tag: str, action: int) -> None:
        """What an element that is not read says about the page, or the formula that it is."""
        if tag == "head":
            self.head = _read_head(node)
        elif tag == "script" and "ld+json" in node.get("type", "") and node.text:
            self.structured.append(node.text)
        elif action == _FORMULA or (tag == "script" and node.get("type", "").startswith("math/")):
            self.take_formula(node)

    def finish(self) -> PageBlocks:
        head = self.head
        if self.structured:
            head = Head(head.title, head.metas, "\n".join([head.structured, *self.structured]))
        parents, tags, paths, hidden, depths, firsts = _columns(self.elements)
        elements, linked, links, images, marks, copies = _columns(self.blocks)
        return PageBlocks(
            head=head,
            nodes=self.nodes,
            parents=parents,
            tags=tags,
            paths=paths,
            names=self.names,
            hidden=hidden,
            depths=depths,
            firsts=firsts,
            lasts=np.array(self.lasts, dtype=np.int32),
            texts=self.texts,
            elements=elements,
            linked=linked,
            links=links,
            images=images,
            marks=marks,
            copies=copies,
            inline_names=self.inline_names,
            first_pieces=np.array([*self.first_pieces, len(self.piece_nodes)], dtype=np.int32),
            piece_nodes=self.piece_nodes,
            piece_kinds=self.piece_kinds,
        )


def _columns(rows: list[tuple[int, int, int, int, int, int]]) -> Integers:
    values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=6 * len(rows))
    return np.ascontiguousarray(values.reshape(-1, 6).T)


def _describe(node: _Element) -> tuple[str, str, int]:
    """The class of a block-level element, all that its author calls it, and why it is hidden."""
    name = label = role = ""
    hidden = 0
    for key, value in node.items():
        if key == "class":
            name = value[:_CLASS_CHARACTERS]
        elif key == "id":
            label = f" #{value}"
        elif key == "role" or (key in ("itemprop", "itemtype") and not role):
            role = f" @{value}"
        elif key == "style":
            if "none" in value and "display:none" in value.replace(" ", ""):
                hidden |= STYLE_HIDDEN
        elif key == "hidden":
            hidden |= ATTRIBUTE_HIDDEN
        elif key == "aria-hidden" and value == "true":
            hidden |= ARIA_HIDDEN
    tag = node.tag
    if "-" in tag:
        role = f"{role} {tag}"
    return name, f"{name}{label}{role}", hidden


def _is_formula(of_class: str, action: int) -> bool:
    """Whether an inline element is a formula that a script has drawn, or an image of one, by its class."""
    if of_class.startswith(_FORMULA_CLASSES):
        return True
    return action == _IMAGE and ("mwe-math" in of_class or not {"latex", "tex"}.isdisjoint(of_class.split()))


def _read_formula(node: _Element) -> str:
    """Its characters, for counting words: a renderer writes it properly."""
    return f" {' '.join(node.itertext()) or node.get('alttext') or node.get('alt') or ''} "


def _read_head(head: _Element) -> Head:
    title = " ".join((head.findtext(".//title") or "").split())
    metas: dict[str, str] = {}
    for meta in head.iter("meta"):
        name, content = meta.get("property") or meta.get("name"), meta.get("content")
        if name and content:
            metas.setdefault(name.lower(), content)
    scripts = (script for script in head.iter("script") if "ld+json" in script.get("type", ""))
    return Head(title, metas, "\n".join(script.text for script in scripts if script.text))
