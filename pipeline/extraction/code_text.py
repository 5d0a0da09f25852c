"""The text of a code block as a browser shows it: its lines, its indentation, and the language that its markup names.

Highlighters write lines as text, `br`, `li`, `div`, `span` or rows of a table, often beside a column of line numbers.
Numbers, buttons and hidden copies are left out.
"""

from __future__ import annotations

import re

from lxml.etree import _Element

PREFORMATTED = ("pre", "xmp", "listing", "plaintext")

_LINE_TAGS = frozenset(
    {
        "div",
        "p",
        "li",
        "ol",
        "ul",
        "dl",
        "dd",
        "dt",
        "tr",
        "table",
        "tbody",
        "thead",
        "pre",
        "section",
        "article",
        "figure",
    }
)
_SKIPPED = frozenset(
    {"script", "style", "button", "select", "textarea", "svg", "template", "input", "iframe", "noscript"}
)
_LINE_CLASS = re.compile(r"(?:^|[\s_-])line(?:$|\s|-\d)|token-line|codeline|view-line|blob-code-inner")
_CELLS = frozenset({"td", "th"})  # cells side by side are one line; white space between them is layout
_GUTTER_CLASS = re.compile(
    r"line-?no|line-?num|line_?numbers|linenumber|gutter|blob-num|ln-n|\blnt?\b|crayon-num|\brouge-gutter"
)
_NUMBERS = re.compile(r"[\d\s.:|]*")
_TOOLS = re.compile(r"\btoolbar\b|\bcopy|clipboard|\bcrayon-(?:info|toolbar|plain-wrap)|\bsr-only\b|visually-hidden")
_TOOL_CHARACTERS = 40

_LANGUAGE_CLASS = re.compile(
    r"(?:^|\s)(?:language-|lang-|highlight-source-|highlight-text-|highlight-|brush:\s*|src-|sourceCode\s+|hljs\s+|type-"
    r"|code-lang-)([a-z][\w+#.-]{0,24})",
    re.IGNORECASE,
)
_LANGUAGE_ATTRIBUTES = (
    "data-lang", "data-language", "data-code-language", "data-enlighter-language", "lang", "language",
)  # fmt: skip
_NO_LANGUAGE = frozenset(
    {
        "none", "text", "plain", "plaintext", "txt", "default", "auto", "notranslate", "nohighlight", "no-highlight",
        "highlight", "source", "code", "language", "lang", "hljs", "unknown", "undefined", "raw", "generic", "wrapper",
        "table", "basic", "line", "en",
    }
)  # fmt: skip
_NAMES = {"html-basic": "html", "text-html-basic": "html", "jscript": "js", "source-shell": "shell"}


def read_code(block: _Element) -> str:
    """The lines of a code block, without empty ones around them."""
    reader = _Reader(every_break_ends_a_source_line(block))
    reader.read(block)
    text = "".join(reader.pieces).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def every_break_ends_a_source_line(block: _Element) -> bool:
    """Whether all `<br>` stand before a line break of the source: an editor added them, and lines would double."""
    breaks = 0
    for line_break in block.iter("br"):
        breaks += 1
        if not (line_break.tail or "").startswith(("\n", "\r")):
            return False
    return breaks > 1


class _Reader:
    """Collects text; a line ends where the next one begins, so that nested line elements make one break."""

    def __init__(self, ignore_breaks: bool) -> None:
        self.pieces: list[str] = []
        self.ignore_breaks = ignore_breaks
        self.line_ended = False

    def read(self, node: _Element) -> None:
        in_cell = node.tag in _CELLS  # white space around a marked line is layout in a cell, and text in `pre`
        has_lines = any(
            child.tag in _LINE_TAGS or child.tag in _CELLS or (in_cell and _is_marked_line(child)) for child in node
        )
        self._write(node.text, has_lines)
        for child in node:
            tag = child.tag
            if tag == "br":
                if not self.ignore_breaks:
                    self._write("\n", False)
            elif tag not in _SKIPPED and not _is_left_out(child):
                if tag in _LINE_TAGS or _is_marked_line(child):
                    self._read_line(child)
                else:
                    self.read(child)
            self._write(child.tail, has_lines)

    def _read_line(self, node: _Element) -> None:
        if self.line_ended or (self.pieces and not self.pieces[-1].endswith("\n")):
            self.pieces.append("\n")
        self.line_ended = False
        before = len(self.pieces)
        self.read(node)
        self.line_ended = self.line_ended or len(self.pieces) == before or not self.pieces[-1].endswith("\n")

    def _write(self, text: str | None, between_lines: bool) -> None:
        """White space with a line break between two line elements is the source's layout."""
        if not text or (between_lines and "\n" in text and text.isspace()):
            return
        if self.line_ended:
            self.line_ended = False
            if not text.startswith("\n"):
                self.pieces.append("\n")
        self.pieces.append(text)


def _is_marked_line(element: _Element) -> bool:
    return element.tag in ("span", "code") and _LINE_CLASS.search(element.get("class", "")) is not None


def _is_left_out(element: _Element) -> bool:
    name = element.get("class")
    if name:
        if _GUTTER_CLASS.search(name) and is_numbers(element):
            return True
        if _TOOLS.search(name) and sum(map(len, element.itertext())) <= _TOOL_CHARACTERS:
            return True
    style = element.get("style")
    return (style is not None and "display:none" in style.replace(" ", "")) or element.get("hidden") is not None


def is_numbers(element: _Element) -> bool:
    """Whether an element holds nothing but line numbers."""
    return all(_NUMBERS.fullmatch(text) for text in element.itertext())


def is_gutter(block: _Element) -> bool:
    """Whether a block in the place of code holds the line numbers of the block beside it."""
    if not is_numbers(block):
        return False
    element: _Element | None = block
    for _ in range(4):
        if element is None or _GUTTER_CLASS.search(element.get("class", "")):
            break
        if element.tag == "td":
            beside = element.getnext()
            return beside is not None and next(beside.iter("pre"), None) is not None
        element = element.getparent()
    else:
        return len(block) > 0 and bool(_GUTTER_CLASS.search(block[0].get("class", "")))
    return element is not None


def find_language(block: _Element) -> str:
    """The language that the markup of a block names, in lower case; "" if it names none."""
    candidates = [block]
    if len(block) == 1:
        candidates.append(block[0])
    parent = block.getparent()
    for _ in range(3):
        if parent is None or len(parent) > 6:
            break
        candidates.append(parent)
        parent = parent.getparent()
    return next((language for element in candidates if (language := _own_language(element))), "")


def _own_language(element: _Element) -> str:
    for attribute in _LANGUAGE_ATTRIBUTES:
        if attribute == "lang" and element.tag not in ("pre", "code"):
            continue
        name = _normalize(element.get(attribute, ""))
        if name:
            return name
    for match in _LANGUAGE_CLASS.finditer(element.get("class", "")):
        name = _normalize(match[1])
        if name:
            return name
    return ""


def _normalize(name: str) -> str:
    name = name.strip().lower()
    name = _NAMES.get(name, name)
    fits = 0 < len(name) <= 25 and name not in _NO_LANGUAGE and not name.startswith(("source-", "text-"))
    return name if fits and re.fullmatch(r"[a-z][\w+#.-]*", name) else ""
