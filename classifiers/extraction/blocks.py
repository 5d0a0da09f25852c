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
it), and `<noscript>` always (forums keep their posts there). Hidden elements are read and marked (`hidden`).

For rendering, a block knows its pieces: block b has the pieces [first_pieces[b], first_pieces[b + 1]). Piece p is a
part of the node `piece_nodes[p]`, by `piece_kinds[p]`: TEXT is `node.text`, TAIL is `node.tail`, FORMULA is the whole
subtree of a formula (`math`, KaTeX, MathJax, an image of LaTeX, a `math/tex` script), whose inside gives no pieces.
Every text of the tree that is read is a piece of exactly one block, except white space before the first word of a block
and in no block. `nodes[e]` are the block-level elements, so a renderer that walks the tree meets the same boundaries by
looking them up.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    nodes: list[_Element] = []
    parents: list[int] = []
    tags: list[int] = []
    paths: list[int] = []
    names: list[str] = []
    hidden: list[int] = []
    depths: list[int] = []
    firsts: list[int] = []
    lasts: list[int] = []
    texts: list[str] = []
    numbers: list[tuple[int, int, int, int, int, int]] = []
    inline_names: list[str] = []
    first_pieces: list[int] = []
    piece_nodes: list[_Element] = []
    piece_kinds = bytearray()

    head = Head("", {}, "")
    structured: list[str] = []
    path_numbers: dict[tuple[int, int, str], int] = {}
    seen: dict[str, int] = {}
    open_elements: list[int] = []
    # of the block under way
    words: list[str] = []
    inline_name = ""
    linked = links = images = marks = 0
    first_piece = 0
    in_link = in_pre = 0
    after_inline = after_break = False

    def end_block() -> None:
        nonlocal inline_name, linked, links, images, marks, first_piece, after_break
        text = " ".join("".join(words).split())
        words.clear()
        if text:
            copies = seen.get(text, 0)
            seen[text] = copies + 1
            texts.append(text)
            numbers.append((open_elements[-1] if open_elements else 0, linked, links, images, marks, copies))
            inline_names.append(inline_name)
            first_pieces.append(first_piece)
            images = 0
        else:
            del piece_nodes[first_piece:], piece_kinds[first_piece:]
        first_piece = len(piece_nodes)
        inline_name = ""
        linked = links = marks = 0
        after_break = False

    innermost: Any = None  # of the open elements
    walker = etree.iterwalk(tree, events=("start", "end"))
    for event, node in walker:
        if event == "start":
            tag = node.tag
            action = _ACTIONS.get(tag, _UNKNOWN)
            if action == _UNKNOWN:
                action = _INLINE if words else TAG_NUMBER["unknown"]
            elif tag == "template" and not any(name in node.attrib for name in _SHADOW_ROOT):
                action = _UNREAD
            if action < _INLINE:
                if words or inline_name or links:
                    end_block()
                name, label, why_hidden = _describe(node)
                parent = open_elements[-1] if open_elements else -1
                key = (paths[parent] if open_elements else -1, action, name)
                paths.append(path_numbers.setdefault(key, len(path_numbers)))
                open_elements.append(len(nodes))
                nodes.append(node)
                innermost = node
                parents.append(parent)
                tags.append(action)
                names.append(label)
                hidden.append(why_hidden)
                depths.append(len(open_elements))
                firsts.append(len(texts))
                lasts.append(0)
                if tag in _PREFORMATTED:
                    in_pre += 1
                after_inline = False
            elif action <= _IMAGE:
                of_class = node.get("class", "")
                if of_class and (of_class.startswith(_FORMULA_CLASSES) or (action == _IMAGE and _is_latex(of_class))):
                    words.append(_read_formula(node))
                    piece_nodes.append(node)
                    piece_kinds.append(FORMULA)
                    walker.skip_subtree()
                    continue
                if action == _LINK:
                    in_link += 1
                    links += 1
                elif action == _IMAGE:
                    images += 1
                elif action == _MARKED:
                    marks |= _MARK_OF[tag]
                if not words and not inline_name:
                    inline_name = f"{tag} {of_class}"
                if after_inline and words and not in_pre:
                    words.append(" ")
            elif action == _BREAK:
                if after_break and words and not in_pre:
                    end_block()
                elif words:
                    words.append("\n")
                    marks |= BREAK
                    after_break = True
                continue
            else:
                walker.skip_subtree()
                if tag == "head":
                    head = _read_head(node)
                elif tag == "script" and "ld+json" in node.get("type", "") and node.text:
                    structured.append(node.text)
                elif action == _FORMULA or (tag == "script" and node.get("type", "").startswith("math/")):
                    words.append(_read_formula(node))
                    piece_nodes.append(node)
                    piece_kinds.append(FORMULA)
                continue
            text, kind = node.text, TEXT
        else:
            if node is innermost:
                if words or inline_name or links:
                    end_block()
                lasts[open_elements.pop()] = len(texts)
                innermost = nodes[open_elements[-1]] if open_elements else None
                if in_pre and node.tag in _PREFORMATTED:
                    in_pre -= 1
                after_inline = False
            else:
                tag = node.tag
                if tag == "a":
                    in_link -= 1
                after_inline = after_inline or tag != "br"
            text, kind = node.tail, TAIL
        if text and (words or not text.isspace()):
            words.append(text)
            piece_nodes.append(node)
            piece_kinds.append(kind)
            if in_link:
                linked += len(text.strip())
            if after_break and not text.isspace():
                after_break = False
            after_inline = False
    end_block()

    if structured:
        head = Head(head.title, head.metas, "\n".join([head.structured, *structured]))
    first_pieces.append(len(piece_nodes))
    elements, *counts = np.array(numbers, dtype=np.int32).reshape(-1, 6).T
    return PageBlocks(
        head=head,
        nodes=nodes,
        parents=_integers(parents),
        tags=_integers(tags),
        paths=_integers(paths),
        names=names,
        hidden=_integers(hidden),
        depths=_integers(depths),
        firsts=_integers(firsts),
        lasts=_integers(lasts),
        texts=texts,
        elements=elements,
        linked=counts[0],
        links=counts[1],
        images=counts[2],
        marks=counts[3],
        copies=counts[4],
        inline_names=inline_names,
        first_pieces=_integers(first_pieces),
        piece_nodes=piece_nodes,
        piece_kinds=piece_kinds,
    )


def _integers(values: list[int]) -> Integers:
    return np.array(values, dtype=np.int32)


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


def _is_latex(of_class: str) -> bool:
    """Whether an image shows a formula, by its class."""
    return "mwe-math" in of_class or "latex" in of_class.split()


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
