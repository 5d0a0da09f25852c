"""Render the chosen text blocks of a page by their nodes: one walk over the tree, which visits chosen parts only.

The walk opens and closes contexts (a list, an item, a cell, a superscript) as elements begin and end, and collects
structures from the inside out: what a list or a table is in truth (posts, a page's layout) shows when its content is
known. Linear in the nodes, without recursion, and the tree stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from lxml import etree
from lxml.etree import _Element

from classifiers.extraction.blocks import ATTRIBUTE_HIDDEN, STYLE_HIDDEN, PageBlocks
from pipeline.extraction.code_blocks import find_code_containers
from pipeline.extraction.code_text import PREFORMATTED
from pipeline.extraction.final_text import join_paragraphs
from pipeline.extraction.inline_text import Context, InlineText
from pipeline.extraction.layout_tables import holds_data
from pipeline.extraction.marks import LINE, StructureCounts
from pipeline.extraction.node_rules import (
    are_sections,
    is_bullet,
    is_nameless,
    is_off_screen,
    is_question,
    number_items,
)
from pipeline.extraction.structures import (
    Code,
    Definitions,
    Entry,
    Heading,
    Item,
    Listing,
    Paragraph,
    Quote,
    Structure,
    Table,
)
from pipeline.extraction.table_grid import Cell, Row, build_table
from pipeline.extraction.units import complete_units
from pipeline.extraction.write_markdown import write_markdown
from pipeline.extraction.write_text import write_text

TextFormat = Literal["text", "markdown"]

_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_CELLS = ("td", "th")
_ROWS_AND_CELLS = frozenset({"tr", *_CELLS})
_HEADING_LEVELS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN_SHARE = 0.4  # of the chosen blocks
_LONGEST_HEADING = 300  # characters; a longer one is a paragraph in a large font


def render(
    blocks: PageBlocks, chosen: Sequence[bool], text_format: TextFormat = "text", likely: Sequence[bool] | None = None
) -> tuple[str, StructureCounts]:
    """The text of the chosen blocks, and the structures in it. A pure function of the page and the choice.

    `likely` are blocks that a unit near chosen ones may add (`complete_units`); by default only what is chosen.
    """
    structures, counts = find_structures(blocks, chosen, chosen if likely is None else likely)
    paragraphs = write_text(structures) if text_format == "text" else write_markdown(structures)
    return join_paragraphs(paragraphs), counts


def find_structures(
    blocks: PageBlocks, chosen: Sequence[bool], likely: Sequence[bool]
) -> tuple[list[Structure], StructureCounts]:
    """What the chosen blocks consist of, completed to whole units of code, tables and lists."""
    containers = find_code_containers(blocks.nodes, blocks.names)
    walk = _Walk(blocks, complete_units(blocks, chosen, likely, containers), containers)
    if blocks.nodes:
        walk.run(blocks.nodes[0].getroottree().getroot())
    return walk.flow, StructureCounts(walk.code, walk.formulas, walk.tables, walk.lists)


@dataclass(slots=True)
class _ListItem:
    element: _Element
    content: list[Structure]


class _Walk(InlineText):
    def __init__(self, blocks: PageBlocks, taken: Sequence[bool], containers: frozenset[int]) -> None:
        super().__init__(blocks, taken)
        self.number_of = dict(zip(blocks.nodes, range(len(blocks.nodes)), strict=True))
        self.containers = containers
        self.before = before = [0, *accumulate(map(int, taken))]
        self.firsts: list[int] = blocks.firsts.tolist()
        self.lasts: list[int] = blocks.lasts.tolist()
        self.empty = [before[a] == before[b] for a, b in zip(self.firsts, self.lasts, strict=True)]
        self.hidden: list[int] = (blocks.hidden & (STYLE_HIDDEN | ATTRIBUTE_HIDDEN)).tolist()
        self.unseen = self._find_unseen(blocks)
        self.tables = self.lists = 0

    def run(self, root: _Element) -> None:
        number_of, empty, inline = self.number_of, self.empty, self.open_inline
        text_block, tail_block = self.text_block, self.tail_block
        contexts = self.contexts
        walker = etree.iterwalk(root, events=("start", "end"))
        for event, node in walker:
            if event == "start":
                number = number_of.get(node)
                enters = inline(node) if number is None else not empty[number] and self._open_block(node, number)
                if not enters:
                    if number is not None and empty[number] and node.tag in _ROWS_AND_CELLS:
                        self._take_empty(node)
                    walker.skip_subtree()
                    continue
                block = text_block.get(node)
                if block is not None:
                    self.write(block, node.text)
            else:
                if contexts and contexts[-1].node is node:
                    context = contexts.pop()
                    context.close(context)
                if node in number_of:
                    self.flush()
                else:
                    self.end_inline(node)
                block = tail_block.get(node)
                if block is not None:
                    self.write(block, node.tail)
        self.flush()

    # --- block-level elements ---

    def _open_block(self, node: _Element, number: int) -> bool:
        """Whether to go into the element."""
        self.flush()
        tag = node.tag
        style = node.get("style")
        if number in self.unseen or (style and is_off_screen(style)):
            return False
        if tag == "button" and self._inside() not in ("heading", "entry") and not is_question(node):
            return False
        if tag in PREFORMATTED or number in self.containers:
            self.take_code(node)
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
        elif tag in _CELLS and self._inside() in ("table", "row"):
            self._enclose(node, "cell", self._close_cell)
        return True

    def _find_unseen(self, blocks: PageBlocks) -> frozenset[int]:
        """Hidden elements that nothing can show. Where they hold much of the text they are shown some other way."""
        hidden = [number for number, why in enumerate(self.hidden) if why and not self.empty[number]]
        found = [number for number in hidden if is_nameless(blocks.nodes[number])]
        held = sum(self._count_taken(number) for number in found)
        return frozenset(found) if held < _HIDDEN_SHARE * self.before[-1] else frozenset()

    def _count_taken(self, number: int) -> int:
        return self.before[self.lasts[number]] - self.before[self.firsts[number]]

    def _inside(self) -> str:
        return self.contexts[-1].kind if self.contexts else ""

    def _enclose(self, node: _Element, kind: str, close: Callable[[Context], None]) -> None:
        self.contexts.append(Context(node, kind, close, self.flow))
        self.flow = []

    def _leave(self, context: Context) -> list[Any]:
        """What the element holds; what follows goes into the element around it."""
        self.flush()
        content, self.flow = self.flow, context.flow
        return content

    def _close_flow(self, context: Context) -> None:
        content = self._leave(context)
        self.flow += content

    def _close_heading(self, context: Context) -> None:
        content = self._leave(context)
        text = " ".join(part.text.replace(LINE, " ") for part in content if isinstance(part, Paragraph))
        if all(isinstance(part, Paragraph) for part in content) and 0 < len(text) <= _LONGEST_HEADING:
            self.flow.append(Heading(_HEADING_LEVELS[context.node.tag], text))
        else:
            self.flow += content

    def _close_quote(self, context: Context) -> None:
        content = self._leave(context)
        if all(isinstance(part, Code | Table) for part in content):  # a margin for code, and no quotation
            self.flow += content
        else:
            self.flow.append(Quote(content))

    def _close_item(self, context: Context) -> None:
        content = [part for part in self._leave(context) if not is_bullet(part)]
        if self._inside() == "list":
            self.flow.append(_ListItem(context.node, content))
        else:
            self.flow += content

    def _close_list(self, context: Context) -> None:
        content = self._leave(context)
        numbers = number_items(context.node) if context.node.tag == "ol" else {}
        items: list[Item] = []
        for part in content:  # an element between items belongs to the item before it
            if isinstance(part, _ListItem):
                items.append(Item(numbers.get(part.element), part.content))
            elif items and (items[-1].content or isinstance(part, Paragraph)):
                items[-1].content.append(part)
            else:
                items.append(Item(None, [part]))
        if are_sections(items, is_ordered=context.node.tag == "ol"):
            self.flow += [part for item in items for part in item.content]
            return
        items = [item for item in items if item.content]
        if items:
            self.lists += 1
            self.flow.append(Listing(items))

    def _close_entry(self, context: Context) -> None:
        content = self._leave(context)
        if self._inside() == "definitions" and content:
            self.flow.append(Entry(context.node.tag == "dt", content))
        else:
            self.flow += content

    def _close_definitions(self, context: Context) -> None:
        content = self._leave(context)
        entries = [part if isinstance(part, Entry) else Entry(False, [part]) for part in content]
        plain = all(isinstance(part, Paragraph | Listing) for entry in entries for part in entry.content)
        if plain and any(entry.is_term for entry in entries) and len(entries) > 1:
            self.lists += 1
            self.flow.append(Definitions(entries))
        else:
            self.flow += [part for entry in entries for part in entry.content]

    def _close_cell(self, context: Context) -> None:
        content = self._leave(context)
        self.flow.append(Cell(context.node, content))

    def _take_empty(self, node: _Element) -> None:
        """A cell without text, or with an image alone, keeps its column, and a row of such cells counts for spans."""
        inside = self._inside()
        if node.tag in _CELLS and inside in ("table", "row"):
            self.flush()
            self.flow += self._empty_cells([node])
        elif node.tag == "tr" and inside == "table":
            self.flush()
            self.flow.append(Row(node, self._empty_cells(node.iterchildren(*_CELLS))))

    def _empty_cells(self, nodes: Iterable[_Element]) -> list[Cell]:
        """Those that a browser shows: hidden ones have no column."""
        return [Cell(node, []) for node in nodes if not (self.hidden[self.number_of[node]] and is_nameless(node))]

    def _close_row(self, context: Context) -> None:
        content = self._leave(context)
        cells = [part if isinstance(part, Cell) else Cell(None, [part]) for part in content]
        self.flow.append(Row(context.node, cells))

    def _close_table(self, context: Context) -> None:
        content = self._leave(context)
        structures, is_table = build_table(content)
        self.tables += is_table
        self.flow += structures
