"""Render the chosen text blocks of a page by their nodes: one walk over the tree, which visits chosen parts only.

The walk opens and closes contexts (a list, an item, a cell, a superscript) as elements begin and end, and collects
structures from the inside out: what a list or a table is in truth (posts, a page's layout) shows when its content is
known. Linear in the nodes, without recursion, and the tree stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from lxml import etree
from lxml.etree import _Element

from classifiers.extraction.blocks import FORMULA, TEXT, UNREAD_TAGS, PageBlocks
from pipeline.extraction.code_blocks import find_code_containers, holds_code_lines, looks_like_code
from pipeline.extraction.code_text import PREFORMATTED, find_language, is_gutter, read_code
from pipeline.extraction.final_text import join_paragraphs
from pipeline.extraction.formulas import count_formulas_in_text
from pipeline.extraction.latex import find_latex, is_display
from pipeline.extraction.layout_tables import holds_data
from pipeline.extraction.marks import CODE, DISPLAY, LINE, MATH, StructureCounts
from pipeline.extraction.structures import Code, Definitions, Entry, Heading, Item, Listing, Paragraph, Quote, Structure
from pipeline.extraction.superscripts import write_script
from pipeline.extraction.table_grid import Cell, Row, build_table
from pipeline.extraction.units import complete_units
from pipeline.extraction.write_markdown import write_markdown
from pipeline.extraction.write_text import write_text

TextFormat = Literal["text", "markdown"]

_UNREAD = frozenset(UNREAD_TAGS)
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_HEADING_LEVELS = {f"h{level}": level for level in range(1, 7)}
_CODE_TAGS = frozenset({"code", "kbd", "samp", "tt"})
_LONGEST_HEADING = 300  # characters; a longer one is a paragraph in a large font
_LONGEST_INLINE_CODE = 300
_PARAGRAPHS_OF_ITEM = 3  # more of them on average: the items are posts or cards
# Elements that pages set apart from a neighbor of the same kind by their style alone.
_APART = frozenset({"a", "time", "img", "relative-time"})
_OFF_SCREEN = re.compile(r"(?:left|top|text-indent)\s*:\s*-\d{4,}px", re.IGNORECASE)
_BUTTON_ATTRIBUTES = frozenset({"aria-expanded", "aria-controls", "data-toggle", "data-bs-toggle", "data-target"})
_OPENER = re.compile(r"accordion|collaps|toggle|expand|faq|question|disclosure", re.IGNORECASE)
_LONGEST_BUTTON = 200  # characters
_ANCHOR_SIGNS = frozenset({"¶", "#", "§", "🔗", ""})


def render(blocks: PageBlocks, chosen: Sequence[bool], text_format: TextFormat = "text") -> tuple[str, StructureCounts]:
    """The text of the chosen blocks, and the structures in it. A pure function of the page and the choice."""
    structures, counts = find_structures(blocks, chosen)
    paragraphs = write_text(structures) if text_format == "text" else write_markdown(structures)
    return join_paragraphs(paragraphs), counts


def find_structures(blocks: PageBlocks, chosen: Sequence[bool]) -> tuple[list[Structure], StructureCounts]:
    """What the chosen blocks consist of, completed to whole units of code, tables and lists."""
    containers = find_code_containers(blocks.nodes, blocks.names)
    walk = _Walk(blocks, complete_units(blocks, chosen, containers), containers)
    if blocks.nodes:
        walk.run(blocks.nodes[0].getroottree().getroot())
    return walk.flow, StructureCounts(walk.code, walk.formulas, walk.tables, walk.lists)


@dataclass(slots=True)
class _ListItem:
    element: _Element
    content: list[Structure]


@dataclass(slots=True)
class _Context:
    """An open element that does something when it ends."""

    node: _Element
    kind: str
    close: Callable[[_Context], None]
    flow: list[Any]  # what stood before it in the element around it
    place: int = 0  # pieces of text before it
    flushes: int = 0


class _Walk:
    def __init__(self, blocks: PageBlocks, taken: Sequence[bool], containers: frozenset[int]) -> None:
        self.number_of = dict(zip(blocks.nodes, range(len(blocks.nodes)), strict=True))
        self.containers = containers
        self.before = before = [0, *accumulate(map(int, taken))]
        self.firsts: list[int] = blocks.firsts.tolist()
        self.lasts: list[int] = blocks.lasts.tolist()
        self.empty = [before[a] == before[b] for a, b in zip(self.firsts, self.lasts, strict=True)]
        self.text_block: dict[_Element, int] = {}
        self.tail_block: dict[_Element, int] = {}
        self.formula_block: dict[_Element, int] = {}
        by_kind = {TEXT: self.text_block, FORMULA: self.formula_block}
        pieces, nodes, kinds = blocks.first_pieces.tolist(), blocks.piece_nodes, blocks.piece_kinds
        for block, is_taken in enumerate(taken):
            if is_taken:
                for piece in range(pieces[block], pieces[block + 1]):
                    by_kind.get(kinds[piece], self.tail_block)[nodes[piece]] = block
        self.has_scripts: bool | None = None
        self.flow: list[Any] = []  # structures, or parts of the open list, table or definition list
        self.contexts: list[_Context] = []
        self.run_pieces: list[str] = []
        self.block = -1
        self.flushes = 0
        self.closed_inline = ""
        self.code = self.formulas = self.tables = self.lists = 0

    def run(self, root: _Element) -> None:
        number_of, empty, inline = self.number_of, self.empty, self._open_inline
        text_block, tail_block = self.text_block, self.tail_block
        contexts = self.contexts
        walker = etree.iterwalk(root, events=("start", "end"))
        for event, node in walker:
            if event == "start":
                number = number_of.get(node)
                enters = inline(node) if number is None else not empty[number] and self._open_block(node, number)
                if not enters:
                    walker.skip_subtree()
                    continue
                block = text_block.get(node)
                if block is not None:
                    self._write(block, node.text)
            else:
                if contexts and contexts[-1].node is node:
                    context = contexts.pop()
                    context.close(context)
                if node in number_of:
                    self._flush()
                else:
                    self.closed_inline = node.tag
                block = tail_block.get(node)
                if block is not None:
                    self._write(block, node.tail)
        self._flush()

    # --- text ---

    def _write(self, block: int, text: str | None) -> None:
        if block != self.block:
            self._flush()
            self.block = block
        if text:
            self.run_pieces.append(text)
            self.closed_inline = ""

    def _flush(self) -> None:
        """End the paragraph under way."""
        self.closed_inline = ""
        if self.run_pieces:
            self.flushes += 1
            text = self._take_run(0)
            if text:
                self.flow.append(Paragraph(text))

    def _take_run(self, place: int) -> str:
        """Text of the pieces from `place` on, with its white space collapsed."""
        text = " ".join("".join(self.run_pieces[place:]).split())
        del self.run_pieces[place:]
        if LINE in text:
            text = LINE.join(line for line in map(str.strip, text.split(LINE)) if line)
        if "\\" in text or "$$" in text:
            self.formulas += count_formulas_in_text(text)
        return text

    # --- inline elements ---

    def _open_inline(self, node: _Element) -> bool:
        """Whether to go into the element."""
        tag = node.tag
        if node in self.formula_block:
            self._write_formula(node)
            return False
        if tag == "br":
            if self.run_pieces:
                self.run_pieces.append(LINE)
                self.closed_inline = ""
            return False
        if tag in _UNREAD or _is_hidden(node):
            return False
        if self.closed_inline and tag in _APART and self.closed_inline in _APART and self.run_pieces:
            self.run_pieces.append(" ")
        if tag in _CODE_TAGS:
            if tag == "code" and holds_code_lines(node):
                self._take_inline_code_block(node)
                return False
            if not any(context.kind == "code" for context in self.contexts[-3:]):
                self._open(node, "code", self._close_code)
        elif tag == "sup" or tag == "sub":
            self._open(node, tag, self._close_script)
        elif tag == "rt":
            self._open(node, tag, self._close_reading)
        elif tag == "rp" or (tag == "a" and _is_heading_anchor(node)):
            return False
        elif tag == "q":
            self._open(node, tag, self._close_quotation)
        return True

    def _open(self, node: _Element, kind: str, close: Callable[[_Context], None]) -> None:
        self.contexts.append(_Context(node, kind, close, self.flow, len(self.run_pieces), self.flushes))

    def _inner(self, context: _Context) -> str | None:
        """The text inside an inline element, taken from the paragraph; None if a paragraph ended inside it."""
        if context.flushes != self.flushes:
            return None
        return "".join(self._pieces_from(context.place))

    def _pieces_from(self, place: int) -> list[str]:
        pieces = self.run_pieces[place:]
        del self.run_pieces[place:]
        return pieces

    def _close_code(self, context: _Context) -> None:
        inner = self._inner(context)
        if inner is None:
            return
        text = " ".join(inner.replace(LINE, " ").split())
        if text and len(text) <= _LONGEST_INLINE_CODE and not any(mark in text for mark in (CODE, MATH, DISPLAY)):
            self.code += 1
            left, right = " " * inner[:1].isspace(), " " * inner[-1:].isspace()
            inner = f"{left}{CODE}{text}{CODE}{right}"
        if inner:
            self.run_pieces.append(inner)

    def _close_script(self, context: _Context) -> None:
        inner = self._inner(context)
        if inner is None or not inner.strip() or any(mark in inner for mark in (CODE, MATH, DISPLAY, LINE)):
            self.run_pieces += [inner] if inner else []
            return
        before = "".join(self.run_pieces[-6:])[-40:]
        self.run_pieces.append(write_script(context.node, before, inner))

    def _close_reading(self, context: _Context) -> None:
        """Ruby: how the characters before it are read, in brackets as browsers without ruby show it."""
        inner = self._inner(context)
        if inner and inner.strip():
            self.run_pieces.append(f"({inner.strip()})" if self.run_pieces else inner)

    def _close_quotation(self, context: _Context) -> None:
        inner = self._inner(context)
        if inner and inner.strip():
            self.run_pieces.append(f"“{inner}”" if inner.strip()[0] not in "\"'“„«»‘「『" else inner)

    def _write_formula(self, node: _Element) -> None:
        block = self.formula_block[node]
        if self._is_second_copy(node):
            return
        latex = find_latex(node)
        if latex:
            self.formulas += 1
            mark = DISPLAY if is_display(node) else MATH
            if self.run_pieces and node.getprevious() is not None and not (node.getprevious().tail or "").strip():
                self.run_pieces.append(" ")
            self._write(block, f"{mark}{latex}{mark}")

    def _is_second_copy(self, node: _Element) -> bool:
        """Whether MathJax drew this from a script that is in the page as well."""
        if node.tag == "script" or not node.get("class", "").startswith("MathJax"):
            return False
        if self.has_scripts is None:
            scripts = node.getroottree().getroot().iter("script")
            self.has_scripts = any(script.get("type", "").startswith("math/tex") for script in scripts)
        return self.has_scripts or "Preview" in node.get("class", "")

    # --- block-level elements ---

    def _open_block(self, node: _Element, number: int) -> bool:
        """Whether to go into the element."""
        self._flush()
        tag = node.tag
        style = node.get("style")
        if style and self._is_unseen(node, number, style):
            return False
        if tag == "button" and not self._is_question(node, number):
            return False
        if tag in PREFORMATTED or number in self.containers:
            self._take_code(node)
            return False
        if tag in _LISTS:
            self._enclose(node, "list", self._close_list)
        elif tag == "li":
            self._enclose(node, "item", self._close_item)
        elif tag in _HEADING_LEVELS:
            self._enclose(node, "heading", self._close_heading)
        elif tag == "blockquote":
            self._enclose(node, "quote", self._close_quote)
        elif tag == "dl":
            self._enclose(node, "definitions", self._close_definitions)
        elif tag in ("dt", "dd"):
            self._enclose(node, "entry", self._close_entry)
        elif tag == "table":
            if holds_data(node):
                self._enclose(node, "table", self._close_table)
            else:
                self._enclose(node, "layout", self._close_flow)
        elif tag == "tr":
            if self._inside() == "table":
                self._enclose(node, "row", self._close_row)
        elif tag in ("td", "th") and self._inside() in ("table", "row"):
            self._enclose(node, "cell", self._close_cell)
        return True

    def _is_unseen(self, node: _Element, number: int, style: str) -> bool:
        """Whether nobody sees the element: it stands off the screen, or is hidden and has no name by which a script
        could show it. (What has a name is a tab, a panel or a part that React shows: of the characters hidden by style
        or attribute that the model chose on 500 pages, 94% were main content.) A page hidden until it is loaded is no
        such case: the element would hold most of the text.
        """
        if _OFF_SCREEN.search(style):
            return True
        if "none" not in style or "display:none" not in style.replace(" ", "").lower() or node.get("class"):
            return False
        return node.get("id") is None and node.get("role") is None and 2 * self._count_taken(number) < self.before[-1]

    def _is_question(self, button: _Element, number: int) -> bool:
        """Whether a button opens a panel of text: its label is a heading. One with a long text was never closed."""
        if self._inside() in ("heading", "entry") or not _BUTTON_ATTRIBUTES.isdisjoint(button.attrib):
            return True
        if _OPENER.search(button.get("class") or ""):
            return True
        text = " ".join(text for text in button.itertext() if not text.isspace()).strip()
        return text.endswith(("?", "？", "؟", ";")) or len(text) > _LONGEST_BUTTON

    def _count_taken(self, number: int) -> int:
        return self.before[self.lasts[number]] - self.before[self.firsts[number]]

    def _inside(self) -> str:
        return self.contexts[-1].kind if self.contexts else ""

    def _enclose(self, node: _Element, kind: str, close: Callable[[_Context], None]) -> None:
        self.contexts.append(_Context(node, kind, close, self.flow))
        self.flow = []

    def _leave(self, context: _Context) -> list[Any]:
        """What the element holds; what follows goes into the element around it."""
        self._flush()
        content, self.flow = self.flow, context.flow
        return content

    def _close_flow(self, context: _Context) -> None:
        content = self._leave(context)
        self.flow += content

    def _close_heading(self, context: _Context) -> None:
        content = self._leave(context)
        text = " ".join(part.text.replace(LINE, " ") for part in content if isinstance(part, Paragraph))
        if all(isinstance(part, Paragraph) for part in content) and 0 < len(text) <= _LONGEST_HEADING:
            self.flow.append(Heading(_HEADING_LEVELS[context.node.tag], text))
        else:
            self.flow += content

    def _close_quote(self, context: _Context) -> None:
        content = self._leave(context)
        if content:
            self.flow.append(Quote(content))

    def _close_item(self, context: _Context) -> None:
        content = self._leave(context)
        if self._inside() == "list":
            self.flow.append(_ListItem(context.node, content))
        else:
            self.flow += content

    def _close_list(self, context: _Context) -> None:
        content = self._leave(context)
        numbers = _number_items(context.node) if context.node.tag == "ol" else {}
        items: list[Item] = []
        for part in content:  # an element between items belongs to the item before it
            if isinstance(part, _ListItem):
                items.append(Item(numbers.get(part.element), part.content))
            elif items and (items[-1].content or isinstance(part, Paragraph)):
                items[-1].content.append(part)
            else:
                items.append(Item(None, [part]))
        if _are_sections(items):
            self.flow += [part for item in items for part in item.content]
            return
        items = [item for item in items if item.content]
        if items:
            self.lists += 1
            self.flow.append(Listing(items))

    def _close_entry(self, context: _Context) -> None:
        content = self._leave(context)
        if self._inside() == "definitions" and content:
            self.flow.append(Entry(context.node.tag == "dt", content))
        else:
            self.flow += content

    def _close_definitions(self, context: _Context) -> None:
        content = self._leave(context)
        entries = [part if isinstance(part, Entry) else Entry(False, [part]) for part in content]
        plain = all(isinstance(part, Paragraph | Listing) for entry in entries for part in entry.content)
        if plain and any(entry.is_term for entry in entries) and len(entries) > 1:
            self.lists += 1
            self.flow.append(Definitions(entries))
        else:
            self.flow += [part for entry in entries for part in entry.content]

    def _close_cell(self, context: _Context) -> None:
        content = self._leave(context)
        self.flow.append(Cell(context.node, content))

    def _close_row(self, context: _Context) -> None:
        content = self._leave(context)
        cells = [part if isinstance(part, Cell) else Cell(None, [part]) for part in content]
        self.flow.append(Row(context.node, cells))

    def _close_table(self, context: _Context) -> None:
        content = self._leave(context)
        structures, is_table = build_table(content)
        self.tables += is_table
        self.flow += structures

    # --- code ---

    def _take_code(self, node: _Element) -> None:
        if is_gutter(node):
            return
        text = read_code(node)
        if text.strip():
            is_code = node.tag not in PREFORMATTED or looks_like_code(node)
            self.code += is_code
            self.flow.append(Code(text, find_language(node) if is_code else "", is_code))

    def _take_inline_code_block(self, node: _Element) -> None:
        """A `code` element with lines, outside `pre`: taken if anything of it is chosen."""
        if any(child in self.text_block or child in self.tail_block for child in node.iter()):
            self._flush()
            self._take_code(node)


def _is_hidden(node: _Element) -> bool:
    style = node.get("style")
    if style and "none" in style and "display:none" in style.replace(" ", "").lower():
        return True
    return node.get("hidden") is not None


def _is_heading_anchor(node: _Element) -> bool:
    """A link to the heading that it stands in, drawn as a sign."""
    return not len(node) and (node.text or "").strip() in _ANCHOR_SIGNS and "#" in node.get("href", "")


def _are_sections(items: Sequence[Item]) -> bool:
    """Whether items are posts, cards or chapters, and not the lines of a list."""
    filled = [item for item in items if item.content]
    sections = sum(1 for item in filled if any(isinstance(part, Heading | Quote) for part in item.content))
    paragraphs = sum(1 for item in filled for part in item.content if isinstance(part, Paragraph))
    return bool(filled) and (2 * sections >= len(filled) or paragraphs > _PARAGRAPHS_OF_ITEM * len(filled))


def _number_items(ordered: _Element) -> dict[_Element, int]:
    """The numbers of the items as HTML counts, with `start`, `value` and `reversed`; items left out count."""
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
