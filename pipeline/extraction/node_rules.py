"""Rules about single nodes and their text: what nobody sees, which buttons are questions, which lists are sections."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml.etree import _Element

from pipeline.extraction.structures import Heading, Item, Paragraph, Quote

_PARAGRAPHS_OF_ITEM = 3  # more of them on average: the items are posts or cards; half as many where they are long
_LONG_ITEM = 300  # characters
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_OFF_SCREEN = re.compile(r"(?:left|top|text-indent)\s*:\s*-\d{4,}px", re.IGNORECASE)
_BUTTON_ATTRIBUTES = frozenset({"aria-expanded", "aria-controls", "data-toggle", "data-bs-toggle", "data-target"})
_UNNAMING = frozenset({"style", "hidden", "aria-hidden", "dir", "lang", "align"})
_OPENER = re.compile(r"accordion|collaps|toggle|expand|faq|question|disclosure", re.IGNORECASE)
_LONGEST_BUTTON = 200  # characters
# What fonts draw instead of a bullet: check boxes, ticks, arrows, lines between links.
_BULLET = re.compile("[\\s▢□☐☑☒✓✔✗✘•●○◦▪■▸►▶‣⁃|·]+")
_CURRENCIES = frozenset("$€£¥₹₽")
_UNNUMBERED = re.compile(r"list-style(?:-type)?\s*:[^;]*\bnone\b", re.IGNORECASE)
_ANCHOR_SIGNS = frozenset({"¶", "#", "§", "🔗", ""})


def is_off_screen(style: str) -> bool:
    return _OFF_SCREEN.search(style) is not None


def is_nameless(hidden: _Element) -> bool:
    """Whether a hidden element has no attribute by which a script could find and show it.

    What has a name is a tab, a panel or a part that React shows: of the characters hidden by style or attribute that
    the model chose on 500 pages, 94% were main content.
    """
    return _UNNAMING.issuperset(hidden.attrib)


def is_question(button: _Element) -> bool:
    """Whether a button opens a panel of text: its label is a heading. One with a long text was never closed."""
    if not _BUTTON_ATTRIBUTES.isdisjoint(button.attrib) or _OPENER.search(button.get("class") or ""):
        return True
    text = " ".join(text for text in button.itertext() if not text.isspace()).strip()
    return text.endswith(("?", "？", "؟", ";")) or len(text) > _LONGEST_BUTTON


def are_two_words(before: str, after: str) -> bool:
    """Whether neighbors that are set apart are two words: no first letter, no ending, no script without spaces.

    Digits meet in the middle of a number ("1", "2"), and between "Jan 1" and "3 comments".
    """
    last, first = before[-1], after[0]
    if last.isalnum() and first in _CURRENCIES:
        return True
    if not (last.isalnum() and first.isalnum()):
        return False
    if last.isdigit() and first.isdigit():
        return all(" " in text.strip() and any(map(str.isalpha, text)) for text in (before, after))
    return not (first.islower() or len(before) == 1 or _NO_SPACES.match(last) or _NO_SPACES.match(first))


def is_replaced(before: str, after: str, *, whole: bool) -> bool:
    """Whether text at the edge of a deletion is another word or number: a price, or what was inserted (`whole`)."""
    last, first = before[-1], after[0]
    if whole and last.isalnum() and first.isalnum():
        return True
    return (last.isdigit() or last in _CURRENCIES) and (first.isdigit() or first in _CURRENCIES)


def is_hidden(node: _Element) -> bool:
    style = node.get("style")
    if style and "none" in style and "display:none" in style.replace(" ", "").lower():
        return True
    return node.get("hidden") is not None


def is_heading_anchor(node: _Element) -> bool:
    """A link to the heading that it stands in, drawn as a sign."""
    return not len(node) and (node.text or "").strip() in _ANCHOR_SIGNS and "#" in node.get("href", "")


def is_label(text: str, language: str) -> bool:
    """Whether a paragraph before a block of code only names its language or copies it."""
    return text.lower() in (language, "copy", "copy code", "copied!")


def is_bullet(part: object) -> bool:
    """Whether a part of an item is a sign that only marks it."""
    return isinstance(part, Paragraph) and _BULLET.fullmatch(part.text) is not None


def are_sections(items: Sequence[Item], *, is_ordered: bool) -> bool:
    """Whether items are posts, cards or chapters, and not the lines of a list."""
    filled = [item for item in items if item.content]
    sections = sum(1 for item in filled if any(isinstance(part, Heading | Quote) for part in item.content))
    texts = [part.text for item in filled for part in item.content if isinstance(part, Paragraph)]
    most = _PARAGRAPHS_OF_ITEM if is_ordered or sum(map(len, texts)) < _LONG_ITEM * len(filled) else 1.5
    return bool(filled) and (2 * sections >= len(filled) or len(texts) > most * len(filled))


def number_items(ordered: _Element) -> dict[_Element, int]:
    """The numbers of the items as HTML counts, with `start`, `value` and `reversed`; items left out count.

    None where the page shows none: the items have numbers of their own.
    """
    if _UNNUMBERED.search(ordered.get("style") or ""):
        return {}
    is_reversed = ordered.get("reversed") is not None
    elements = [child for child in ordered if child.tag == "li"]
    number = _integer(ordered.get("start"), len(elements) if is_reversed else 1)
    numbers: dict[_Element, int] = {}
    for element in elements:
        number = _integer(element.get("value"), number)
        numbers[element] = number
        number += -1 if is_reversed else 1
    return numbers


def _integer(text: str | None, otherwise: int) -> int:
    """An attribute's number; of at most nine digits, because a page may write any."""
    stripped = (text or "").strip()
    digits = stripped.removeprefix("-")
    return int(stripped) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else otherwise
