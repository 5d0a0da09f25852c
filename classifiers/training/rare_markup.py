"""Put markup that is rare in the training pages into some of them: boxes that are no main content, headings in buttons.

Teasers under a heading without a telling class, readers' comments, a list of links or buttons between paragraphs, a
paragraph that nobody sees: real pages have them, too few of the training pages do. Their texts come from other pages.
Headings as buttons, with the answers folded below, and a paragraph written as a list, with or without links, are main
content. Which page gets what depends on its id only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
from lxml import etree
from lxml.etree import _Element

from classifiers.extraction.blocks import PageBlocks

SHARE = 0.6  # of the pages that are changed
_TEXTS = 200  # of other pages that are kept for boxes
_FEWEST_TEXTS = 20
_BOX_CLASSES = ("", "", "grid-4", "row", "cards", "list", "boxes", "more")
_CELL_CLASSES = ("", "", "cell", "col-md-4", "card", "item", "box", "entry")
_SENTENCE = (6, 25)  # words of a teaser
_LABEL = (1, 4)  # words of a button
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


class RareMarkup:
    """Changes pages, with texts of the pages that it saw before."""

    def __init__(self) -> None:
        self._sentences: deque[str] = deque(maxlen=_TEXTS)
        self._labels: deque[str] = deque(maxlen=_TEXTS)

    def change(self, identity: str, tree: _Element, blocks: PageBlocks, shares: Sequence[float]) -> bool:
        """Change the tree of some pages; whether it was changed. `shares`: what of each block is main content."""
        random = Random(f"rare markup {identity}")
        place = _main_container(blocks, shares)
        is_chosen = len(self._sentences) >= _FEWEST_TEXTS and random.random() < SHARE
        if place is not None and is_chosen:
            self._change(place, random)
        self._remember(blocks)
        return place is not None and is_chosen

    def _change(self, place: _Element, random: Random) -> None:
        changes: list[Callable[[_Element, Random], None]] = [
            self._add_teasers, self._add_teasers, self._add_teasers, self._add_teasers, self._add_comments,
            self._add_comments, self._add_buttons, self._add_buttons, self._hide_paragraph, self._add_links,
            _fold_headings, _write_list, _write_list, _write_list,
        ]  # fmt: skip
        random.choice(changes)(place, random)

    def _remember(self, blocks: PageBlocks) -> None:
        for text in blocks.texts[:100]:
            words = text.split()
            if _SENTENCE[0] <= len(words) <= _SENTENCE[1]:
                self._sentences.append(text)
            elif _LABEL[0] <= len(words) <= _LABEL[1]:
                self._labels.append(text)

    def _add_teasers(self, place: _Element, random: Random) -> None:
        heading = etree.SubElement(place, random.choice(["h2", "h3", "h4", "p", "div"]))
        (etree.SubElement(heading, "strong") if heading.tag == "p" else heading).text = random.choice(self._labels)
        box = _element(place, random.choice(["div", "div", "section", "ul"]), random.choice(_BOX_CLASSES))
        for _ in range(random.randint(2, 6)):
            cell = _element(box, "li" if box.tag == "ul" else "div", random.choice(_CELL_CLASSES))
            holder = etree.SubElement(cell, "h4") if random.random() < 0.4 else cell
            link = etree.SubElement(holder, "a", href="/")
            link.text = " ".join(random.choice(self._sentences).split()[:8])
            if random.random() < 0.8:
                etree.SubElement(cell, random.choice(["p", "p", "div", "span"])).text = random.choice(self._sentences)

    def _add_comments(self, place: _Element, random: Random) -> None:
        """What readers say, below the text: a name, sometimes a date, a few sentences each."""
        heading = etree.SubElement(place, random.choice(["h2", "h3", "h4", "p"]))
        heading.text = f"{random.randint(2, 99)} {random.choice(self._labels)}"
        box = _element(place, random.choice(["div", "section", "ol", "ul"]), random.choice(_BOX_CLASSES))
        for number in range(random.randint(2, 9)):
            cell = _element(box, "li" if box.tag in ("ol", "ul") else "div", random.choice(_CELL_CLASSES))
            name = etree.SubElement(cell, random.choice(["b", "span", "div", "h4"]))
            name.text = random.choice(self._labels)
            if number or random.random() < 0.7:
                etree.SubElement(cell, random.choice(["span", "time", "div"])).text = _date(random)
            for _ in range(random.randint(1, 3)):
                etree.SubElement(cell, "p").text = " ".join(random.choices(self._sentences, k=random.randint(1, 3)))

    def _add_links(self, place: _Element, random: Random) -> None:
        box = _element(place, random.choice(["ul", "ul", "div", "p"]), random.choice(_BOX_CLASSES))
        for _ in range(random.randint(4, 12)):
            holder = etree.SubElement(box, "li") if box.tag == "ul" else box
            link = etree.SubElement(holder, "a", href="/")
            link.text = " ".join(random.choice(self._sentences).split()[: random.randint(2, 9)])
            link.tail = " "
        _move_inside(place, box, random)

    def _add_buttons(self, place: _Element, random: Random) -> None:
        row = _element(place, random.choice(["p", "div"]), random.choice(["", "", "actions", "buttons"]))
        for _ in range(random.randint(1, 4)):
            button = etree.SubElement(row, "button")
            button.text, button.tail = random.choice(self._labels), " "
        _move_inside(place, row, random)

    def _hide_paragraph(self, place: _Element, random: Random) -> None:
        hidden = etree.SubElement(place, "div")
        hidden.set(*random.choice([("style", "display:none"), ("style", "display: none;"), ("hidden", "")]))
        for _ in range(random.randint(1, 3)):
            etree.SubElement(hidden, "p").text = random.choice(self._sentences)
        _move_inside(place, hidden, random)


def _fold_headings(place: _Element, random: Random) -> None:
    """Write the headings of the main content as buttons, inside the heading or in its place."""
    inside = random.random() < 0.5
    for heading in list(place.iter("h2", "h3", "h4")):
        if inside:
            button = etree.Element("button", type="button")
            button.text, heading.text = heading.text, None
            button.extend(list(heading))
            heading.append(button)
        else:
            heading.tag = "button"


def _write_list(place: _Element, random: Random) -> None:
    """Write a paragraph of the main content as a list: its first sentence before it, the others as items."""
    paragraphs = [child for child in place if child.tag == "p" and not len(child)]
    random.shuffle(paragraphs)
    for paragraph in paragraphs:
        sentences = [part for part in _SENTENCE_END.split((paragraph.text or "").strip()) if part]
        if len(sentences) >= 3:
            break
    else:
        return
    paragraph.text = sentences[0].rstrip(".") + random.choice([":", ":", "."])
    items = _element(place, random.choice(["ul", "ul", "ol"]), random.choice(_BOX_CLASSES))
    place.insert(place.index(paragraph) + 1, items)
    has_links = random.random() < 0.6
    for sentence in sentences[1:]:
        item = etree.SubElement(items, "li")
        words = sentence.split()
        if has_links:
            linked = len(words) if random.random() < 0.4 else random.randint(1, len(words))
            link = etree.SubElement(item, "a", href="/")
            link.text, link.tail = " ".join(words[:linked]), " " + " ".join(words[linked:])
        else:
            item.text = sentence


def _date(random: Random) -> str:
    day, month, year = random.randint(1, 28), random.randint(1, 12), random.randint(1999, 2026)
    forms = [f"{day}.{month:02}.{year}", f"{year}-{month:02}-{day:02} 12:{day:02}", f"{month}/{day}/{year}"]
    return random.choice(forms)


def _main_container(blocks: PageBlocks, shares: Sequence[float]) -> _Element | None:
    """The element with most main content in its children."""
    sizes = np.array([len(text) for text in blocks.texts]) * np.asarray(shares)
    parents = blocks.parents[blocks.elements]
    if not sizes.sum() or parents.max() < 0:
        return None
    weights = np.bincount(np.maximum(parents, 0), weights=sizes)
    return blocks.nodes[int(weights.argmax())]


def _element(parent: _Element, tag: str, name: str) -> _Element:
    element = etree.SubElement(parent, tag)
    if name:
        element.set("class", name)
    return element


def _move_inside(place: _Element, element: _Element, random: Random) -> None:
    """Move the last child to some place between the others."""
    if len(place) > 2:
        place.insert(random.randint(1, len(place) - 2), element)
