"""The text of lines while a tree is walked: inline code, formulas, superscripts, readings, spaces between words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lxml.etree import _Element

from classifiers.extraction.blocks import FORMULA, TEXT, UNREAD_TAGS, PageBlocks
from pipeline.extraction.code_blocks import holds_code_lines, looks_like_code
from pipeline.extraction.code_text import PREFORMATTED, find_language, is_gutter, read_code
from pipeline.extraction.formulas import count_formulas_in_text
from pipeline.extraction.latex import find_latex, is_display
from pipeline.extraction.marks import CODE, DISPLAY, LINE, MATH
from pipeline.extraction.node_rules import are_two_words, is_heading_anchor, is_hidden, is_label, is_replaced
from pipeline.extraction.structures import Code, Paragraph
from pipeline.extraction.superscripts import script_kind, write_script

_UNREAD = frozenset(UNREAD_TAGS)
_CODE_TAGS = frozenset({"code", "kbd", "samp", "tt"})
_LONGEST_INLINE_CODE = 300
# Parts of a line between which the source has no space: pages set elements with a class, links and dates apart by
# their style. In 1,497 pages with gold text such neighbors are words of their own 1,200 times and parts of one word 50
# times; neighbors without a class, first letters and endings in lower case are mostly parts of one word.
_APART = frozenset({"a", "time", "relative-time"})
_DELETED = frozenset({"del", "s", "strike"})
_EDITED = _DELETED | {"ins"}  # a price struck through and the new one, a word and the one in its place
_NEVER_APART = frozenset({"sup", "sub", "wbr", "rt", "rb", "rp", "br"})


@dataclass(slots=True)
class Context:
    """An open element that does something when it ends."""

    node: _Element
    kind: str
    close: Callable[[Context], None]
    flow: list[Any]  # what stood before it in the element around it
    place: int = 0  # pieces of text before it
    flushes: int = 0


class InlineText:
    """Collects the pieces of a paragraph, and paragraphs in `flow`."""

    def __init__(self, blocks: PageBlocks, taken: Sequence[bool]) -> None:
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
        self.contexts: list[Context] = []
        self.run_pieces: list[str] = []
        self.block = -1
        self.flushes = 0
        self.after_inline = False  # an inline element has ended, and no text came since
        self.apart = False  # ... and it or the one that begins is set apart by its style
        self.edited = ""  # the tag of the edited text that has begun or ended, and no text came since
        self.code = self.formulas = 0

    # --- text ---

    def write(self, block: int, text: str | None) -> None:
        if block != self.block:
            self.flush()
            self.block = block
        if text:
            if self.run_pieces and (
                (self.apart and are_two_words(self.run_pieces[-1], text))
                or (self.edited and is_replaced(self.run_pieces[-1], text, whole=self.edited == "del ins"))
            ):
                self.run_pieces.append(" ")
            self.run_pieces.append(text)
            self.after_inline = self.apart = False
            self.edited = ""

    def flush(self) -> None:
        """End the paragraph under way."""
        self.after_inline = self.apart = False
        self.edited = ""
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

    def open_inline(self, node: _Element) -> bool:
        """Whether to go into the element."""
        tag = node.tag
        if node in self.formula_block:
            self._write_formula(node)
            return False
        if tag == "br":
            if self.run_pieces:
                self.run_pieces.append(LINE)
                self.after_inline = self.apart = False
                self.edited = ""
            return False
        if tag in _UNREAD or is_hidden(node):
            return False
        kind = script_kind(node)
        if kind or tag in _NEVER_APART:
            self.apart = False
        elif self.after_inline and (tag in _APART or node.get("class") is not None):
            self.apart = True
        if tag in _EDITED:
            self.edited = "del ins" if tag == "ins" and self.edited in _DELETED else tag
        if tag in _CODE_TAGS:
            if tag in ("code", "samp") and holds_code_lines(node):
                self._take_inline_code_block(node)
                return False
            if not any(context.kind == "code" for context in self.contexts[-3:]):
                self._open(node, "code", self._close_code)
        elif kind:
            self._open(node, kind, self._close_script)
        elif tag == "rt":
            self._open(node, tag, self._close_reading)
        elif tag == "rp" or (tag == "a" and is_heading_anchor(node)):
            return False
        elif tag == "q":
            self._open(node, tag, self._close_quotation)
        return True

    def end_inline(self, node: _Element) -> None:
        if self.run_pieces and node.tag not in _NEVER_APART and not script_kind(node):
            self.after_inline = True
            self.apart = self.apart or node.tag in _APART or node.get("class") is not None
            if node.tag in _EDITED:
                self.edited = node.tag

    def _open(self, node: _Element, kind: str, close: Callable[[Context], None]) -> None:
        self.contexts.append(Context(node, kind, close, self.flow, len(self.run_pieces), self.flushes))

    def _inner(self, context: Context) -> str | None:
        """The text inside an inline element, taken from the paragraph; None if a paragraph ended inside it."""
        if context.flushes != self.flushes:
            return None
        return "".join(self._pieces_from(context.place))

    def _pieces_from(self, place: int) -> list[str]:
        pieces = self.run_pieces[place:]
        del self.run_pieces[place:]
        return pieces

    def _close_code(self, context: Context) -> None:
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

    def _close_script(self, context: Context) -> None:
        inner = self._inner(context)
        if inner is None or not inner.strip() or any(mark in inner for mark in (CODE, MATH, DISPLAY, LINE)):
            self.run_pieces += [inner] if inner else []
            return
        before = "".join(self.run_pieces[-6:])[-40:].rpartition(LINE)[2]
        self.run_pieces.append(write_script(context.node, before, inner))

    def _close_reading(self, context: Context) -> None:
        """Ruby: how the characters before it are read, in brackets as browsers without ruby show it."""
        inner = self._inner(context)
        if inner and inner.strip():
            self.run_pieces.append(f"({inner.strip()})" if self.run_pieces else inner)

    def _close_quotation(self, context: Context) -> None:
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
            self.write(block, f"{mark}{latex}{mark}")

    def _is_second_copy(self, node: _Element) -> bool:
        """Whether MathJax drew this from a script that is in the page as well."""
        if node.tag == "script" or not node.get("class", "").startswith("MathJax"):
            return False
        if self.has_scripts is None:
            scripts = node.getroottree().getroot().iter("script")
            self.has_scripts = any(script.get("type", "").startswith("math/tex") for script in scripts)
        return self.has_scripts or "Preview" in node.get("class", "")

    # --- code ---

    def take_code(self, node: _Element) -> None:
        if is_gutter(node):
            return
        text = read_code(node)
        if text.strip():
            is_code = node.tag not in PREFORMATTED or looks_like_code(node)
            language = find_language(node) if is_code else ""
            if self.flow and isinstance(self.flow[-1], Paragraph) and is_label(self.flow[-1].text, language):
                self.flow.pop()
            self.code += is_code
            self.flow.append(Code(text, language, is_code))

    def _take_inline_code_block(self, node: _Element) -> None:
        """A `code` element with lines, outside `pre`: taken if anything of it is chosen."""
        if any(child in self.text_block or child in self.tail_block for child in node.iter()):
            self.flush()
            self.take_code(node)
