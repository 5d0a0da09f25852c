"""What an extractor would lose of a page: code, white space, formulas. Kept by characters that no page uses.

`prepare` rewrites a parsed page before the engine sees it: preformatted blocks, MathML, MathJax and KaTeX become plain
text in which a few private characters (plane 15) stand for white space that matters, for the ends of a code block and
for the ends of a formula. Whatever path the text then takes through the engine and its fall-backs, `rendering.finish`
finds those characters and writes fences, indentation and `$`. As one character stands for one, the engine's measures
of length see the same page.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from lxml import etree
from lxml.etree import XPath, _Element
from lxml.html import HtmlComment, HtmlElement, HtmlEntity, HtmlProcessingInstruction

PARAGRAPH, LINE, NEWLINE, SPACE, TAB, FENCE, PRE, CODE, MATH, DISPLAY, TABLE, LIST = (
    chr(0xF0000 + i) for i in range(12)
)
_MARKS = re.compile("[\U000f0000-\U000f000b]")
_MARKS_BEGIN = "\U000f0000".encode()[:3]
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NO_CONTROLS = bytes(32 if byte < 32 and byte not in b"\t\n\r" else byte for byte in range(256))
_FORBIDDEN_REFERENCE = re.compile(
    rb"&#(?:0*(?:[0-8]|1[1-24-9]|2[0-9]|3[01]|6553[45])(?![0-9])"
    rb"|[xX]0*(?:[0-8bceBCEfF]|1[0-9a-fA-F]|[fF]{3}[eEfF])(?![0-9a-fA-F]));?"
)
_NONCHARACTERS = re.compile(rb"\xef\xbf[\xbe\xbf]")
PARSER_DEPTH = 256  # libxml2's own limit: it stops reading a page that nests deeper

# lxml looks the class of every node up in Python; one class for all elements saves an eighth of the extraction.
_ONE_CLASS = etree.ElementDefaultClassLookup(
    element=HtmlElement, comment=HtmlComment, pi=HtmlProcessingInstruction, entity=HtmlEntity
)

_MATHML = ("math", "m:math", "mml:math")
# What a script drew from a formula that the page holds as source, too.
_DRAWN_FORMULAS = XPath(
    "//*[contains(concat(' ', @class, ' '), ' katex-html ') or contains(@class, 'MathJax_Preview')]"
    " | //*[contains(concat(' ', @class, ' '), ' MathJax ') or contains(@class, 'MathJax_SVG')"
    " or contains(@class, 'MathJax_Display') or contains(@class, 'MathJax_CHTML')][not(.//math)]"
)
_FORMULA_IMAGE = re.compile(r"mwe-math|\blatex")
_WRAPPER = re.compile(r"^(mwe-math|katex|MathJax|MJX|ltx_Math)|\bkatex")
_MEDIAWIKI = re.compile(r"^\{\\(?:display|text)style (.*?)\}$")  # what MediaWiki puts around each formula
_ANNOTATION = XPath(".//*[local-name()='annotation'][@encoding='application/x-tex']")
_RAW_FORMULA = re.compile(r"\$\$[^$]{1,2000}?\$\$|\\\([^$]{1,500}?\\\)|\\\[[^$]{1,2000}?\\\]", re.DOTALL)

_LINE_NUMBERS = XPath(
    ".//*[contains(@class, 'lineno') or contains(@class, 'line-number') or contains(@class, 'linenumber')"
    " or contains(concat(' ', @class, ' '), ' gutter ') or contains(concat(' ', @class, ' '), ' blob-num ')]"
)
_CODE_TABLES = XPath("//table[.//td[contains(@class, 'code')]//pre]")
_CODE_CLASS = re.compile(
    r"highlight|hljs|prettyprint|codehilite|source-?code|\blang(uage)?-|\bbrush:|\bcode\b|crayon|syntax|programlisting"
    r"|prism|shiki|geshi|listing",
    re.IGNORECASE,
)
_CODE_LINE = re.compile(
    r"[;{}]\s*$|[=!<>]=|\w\([^()]*\)|^\s*[\w.]+\s*=[^=]|^\s*(#include|\$|>>>|//|/\*|</?\w)"
    r"|^\s*(def|class|import|from|for|while|if|elif|return|function|var|let|const|public|private|static|package|using"
    r"|SELECT|INSERT|UPDATE|CREATE)\b"
)
_TAG = re.compile(rb"<[a-zA-Z]")
_COUNT_ELEMENTS = XPath("count(//*)")
_UNREAD = (
    "script", "style", "svg", "template", "button", "select", "datalist", "iframe", "dialog", "noscript", "textarea",
    "input", "object", "embed", "audio", "video", "canvas", "map",
)  # fmt: skip
_LISTS = ("ul", "ol", "dl")
_BOXES = (*_LISTS, "table", "div", "section", "nav", "aside", "footer", "header")
# A box of so many links, and so much of its text in them, is navigation; one that is no list only if it has no stretch
# of so many letters outside them.
_LINKS, _LINKED_SHARE, _STRETCH = 4, 0.7, 50
_LONGEST_LINK = 300  # letters; a link around more is a mistake in the page
_LOOSE_IN = frozenset({"body", "main", "article", "section", "div", "td", "center", "form", "font", "span"})
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    {*_BOXES, *_HEADINGS, "p", "pre", "blockquote", "hr", "figure", "center", "form", "article", "main"}
)
_STRETCHES = XPath(f"//text()[string-length() >= {_STRETCH}]")
_CELL_CHARACTERS = 400  # a longer cell without a header is a column of the page
_CODE_LINES = 0.4  # share of lines that look like code for a `pre` without any mark of its language


@dataclass(frozen=True, slots=True)
class Counts:
    """Structures of each kind, in the page or in the text that came of it."""

    code: int
    formulas: int
    tables: int
    lists: int


def source_bytes(html: str) -> bytes:
    """The page as UTF-8 without characters that XML cannot hold, and without our own marks."""
    source = html.encode("utf-8", "replace").translate(_NO_CONTROLS)
    source = _FORBIDDEN_REFERENCE.sub(b" ", source) if b"&#" in source else source
    source = _NONCHARACTERS.sub(b" ", source) if b"\xef\xbf" in source else source
    return _MARKS.sub("", source.decode()).encode() if _MARKS_BEGIN in source else source


def parse(source: bytes) -> tuple[HtmlElement | None, bool]:
    """The tree (None where there is nothing in it), and whether the parser gave up at its depth limit."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    parser.set_element_class_lookup(_ONE_CLASS)
    try:
        tree = etree.fromstring(source, parser=parser)
    except etree.LxmlError:
        return None, False
    return tree, any("Excessive depth" in entry.message for entry in parser.error_log.filter_from_fatals())


def count_tags(source: bytes, enough: int) -> int:
    """Opening tags in the source; an upper bound where that is below `enough`, which takes no time to find."""
    bound = source.count(b"<")
    return bound if bound <= enough else sum(1 for _ in _TAG.finditer(source))


def count_elements(tree: HtmlElement) -> int:
    return int(_COUNT_ELEMENTS(tree))


def prepare(tree: HtmlElement, source: bytes) -> Counts:
    """Rewrite `tree` in place so that its code and formulas survive extraction; counts of what the page has.

    What is navigation beyond doubt goes: the engine has less to read, and has it right more often.
    """
    formulas = _keep_formulas(tree, source)
    _remove_unread(tree)
    code = _keep_preformatted(tree)
    _remove_link_boxes(tree)
    _wrap_loose_text(tree)
    if b"\\(" in source or b"\\[" in source or b"$$" in source:
        formulas += raw_formulas(tree.text_content())
    return Counts(code, formulas, _keep_tables(tree), sum(1 for _ in tree.iter("ul", "ol", "dl")))


def plain_text(element: _Element) -> str:
    """All text of a prepared page or a part of it, without marks."""
    return _MARKS.sub(" ", element.text_content())


def raw_formulas(text: str) -> int:
    """Formulas that the page's author wrote as text, for MathJax to find."""
    return sum(1 for _ in _RAW_FORMULA.finditer(text))


# --- tables ---


def _keep_tables(tree: HtmlElement) -> int:
    """Count the tables of data and turn those that only lay a page out into what they are, nested boxes.

    Their cells are then judged as the sections that they are: F1 on gold news text rises from .882 to .889.
    """
    found = 0
    for table in list(tree.iter("table")):
        if _holds_data(table):
            found += 1
            _limit_spans(table)
        else:
            for part in table.iter("table", "tbody", "tr", "td"):
                if part is table or next(part.iterancestors("table"), None) is None:
                    part.tag = "div"
    return found


def _limit_spans(table: _Element) -> None:
    """The engine fills every cell that another spans: ten lines of HTML could ask it for a million."""
    for cell in table.iter("td", "th"):
        for attribute in ("colspan", "rowspan"):
            if len(cell.get(attribute, "")) > 1:  # ten or more, or no number
                del cell.attrib[attribute]


def _holds_data(table: _Element) -> bool:
    if next(table.iterdescendants("table"), None) is not None or table.get("role") in ("presentation", "none"):
        return False
    if next(table.iter("th", "caption", "thead"), None) is not None:
        return True
    rows = sum(1 for _ in table.iter("tr"))
    cells = list(table.iter("td"))
    return rows > 1 and len(cells) >= 2 * rows and all(len(cell.text_content()) <= _CELL_CHARACTERS for cell in cells)


def _remove_unread(tree: HtmlElement) -> None:
    """What no engine reads: copies of the tree get cheaper. JSON-LD stays, trafilatura may take the article from it."""
    for element in list(tree.iter(*_UNREAD)):
        if element.tag != "script" or element.get("type") != "application/ld+json":
            remove(element)


def _remove_link_boxes(tree: HtmlElement) -> None:
    """Menus, teasers, lists of pages. F1 on 1,000 news pages rises by .005, and front pages cost a third less."""
    menu_links: set[_Element] = set()
    links: Counter[_Element] = Counter()
    linked: Counter[_Element] = Counter()  # letters in them
    for link in tree.iter("a"):
        letters = _letters(link.text_content())
        # An anchor is no link, and old pages leave links open to their end.
        if letters <= _LONGEST_LINK and link.get("href"):
            menu_links.add(link)
            for box in link.iterancestors(*_BOXES):
                links[box] += 1
                linked[box] += letters
    prose = _with_prose(tree, menu_links)
    gone: dict[_Element, None] = {}
    for box in tree.iter(*_BOXES):
        if links[box] < _LINKS or (box in prose and box.tag not in _LISTS):
            continue
        if linked[box] >= _LINKED_SHARE * _letters(box.text_content()) and gone.keys().isdisjoint(
            box.iterancestors(*_BOXES)
        ):
            gone[box] = None
    for box in gone:
        remove(box)


def _with_prose(tree: HtmlElement, menu_links: set[_Element]) -> set[_Element]:
    """Every element that holds a stretch of text too long for a menu, outside its links."""
    holders: set[_Element] = set()
    for text in _STRETCHES(tree):
        holder = _holder(text)
        if _letters(text) < _STRETCH or holder is None or holder.tag == "script":
            continue
        if holder in menu_links or not menu_links.isdisjoint(holder.iterancestors("a")):
            continue
        while holder is not None and holder not in holders:
            holders.add(holder)
            holder = holder.getparent()
    return holders


def _wrap_loose_text(tree: HtmlElement) -> None:
    """Text that stands between the paragraphs of a box becomes a paragraph: the engine would pass over it."""
    holders: dict[_Element, None] = {}
    for text in _STRETCHES(tree):
        holder = _holder(text)
        if holder is not None and holder.tag in _LOOSE_IN and any(child.tag in _BLOCKS for child in holder):
            holders[holder] = None
    for holder in holders:
        _wrap(holder)


def _wrap(holder: _Element) -> None:
    children = list(holder)
    paragraph = holder.makeelement("p")
    paragraph.text, holder.text = holder.text, None
    for child in children:
        if child.tag not in _BLOCKS:
            paragraph.append(child)
        else:
            following = holder.makeelement("p")
            following.text, child.tail = child.tail, None
            if len(paragraph) or _letters(paragraph.text or ""):
                child.addprevious(paragraph)
            paragraph = following
    if _letters("".join(paragraph.itertext())):  # pictures and marks behind the last block are nobody's text
        holder.append(paragraph)


def _holder(text: Any) -> _Element | None:
    """The element that a text node stands in."""
    return text.getparent().getparent() if text.is_tail else text.getparent()


def _letters(text: str) -> int:
    return len("".join(text.split()))


# --- formulas ---


def _keep_formulas(tree: HtmlElement, source: bytes) -> int:
    """A search of the bytes says which kinds to look for. Pictures come last: most go with the MathML beside them."""
    found = 0
    if b"katex-html" in source or b"MathJax" in source:
        for drawn in _DRAWN_FORMULAS(tree):
            remove(drawn)
    if b"math" in source:
        found += sum(_keep_formula(math) for math in list(tree.iter(*_MATHML)))
        scripts = [script for script in tree.iter("script") if script.get("type", "").startswith("math/")]
        found += sum(_keep_formula(script) for script in scripts)
    if b"mwe-math" in source or b"latex" in source:
        images = [image for image in tree.iter("img") if _FORMULA_IMAGE.search(image.get("class", ""))]
        found += sum(_keep_formula(image) for image in images)
    return found


def _keep_formula(element: _Element) -> bool:
    """Put the formula's LaTeX in its place; False where it has none."""
    latex = _MEDIAWIKI.sub(r"\1", CONTROLS.sub(" ", " ".join(_latex(element).split())))
    if not latex or element.getparent() is None:
        return False
    mark = DISPLAY if _is_display(element) else MATH
    whole = _with_wrappers(element)
    whole.tail = f"{mark}{latex}{mark}{whole.tail or ''}"
    parent = whole.getparent()
    remove(whole)
    if mark == DISPLAY and parent is not None and parent.tag == "div" and not len(parent):
        parent.tag = "p"  # an equation in a <div> of its own: the engine drops short divs, but no paragraphs
    return True


def _with_wrappers(formula: _Element) -> _Element:
    """The outermost element made for this formula alone: renderers hide the source and show a drawing beside it."""
    for ancestor in formula.iterancestors("span", "div", "mjx-container", "mjx-assistive-mml"):
        if not _WRAPPER.search(ancestor.get("class", "")) and ancestor.tag[:3] != "mjx":
            break
        if sum(1 for _ in ancestor.iter(*_MATHML)) > 1:
            break
        formula = ancestor
    return formula


def _latex(formula: _Element) -> str:
    annotation = _ANNOTATION(formula)
    if annotation:
        return str(annotation[0].text or "")
    if formula.tag == "script":
        return str(formula.text or "") if "tex" in formula.get("type", "") else ""
    return str(formula.get("alttext") or formula.get("alt") or "")


def _is_display(formula: _Element) -> bool:
    return (
        formula.get("display") == "block"
        or "mode=display" in formula.get("type", "").replace(" ", "")
        or "display" in formula.get("class", "")
    )


# --- preformatted text ---


def _keep_preformatted(tree: HtmlElement) -> int:
    blocks = [block for block in tree.iter("pre", "xmp", "listing") if next(block.iterancestors("pre"), None) is None]
    if blocks:
        for table in _CODE_TABLES(tree):
            _unwrap_code_table(table)
    code = sum(_keep_block(block) for block in blocks)
    return code + sum(1 for _ in tree.iter("code", "kbd", "samp", "tt"))


def _keep_block(block: _Element) -> bool:
    """Make `block` a `pre` of one text whose white space is protected; whether it is code."""
    is_code = looks_like_code(block)
    text = _preformatted_text(block)
    for child in list(block):
        block.remove(child)
    block.tag = "pre"
    mark = FENCE if is_code else PRE
    block.text = f"{mark}{protect(text)}{mark}" if text else None
    return is_code and bool(text)


def _unwrap_code_table(table: _Element) -> None:
    """A highlighter's two-column table (line numbers, code) is no table: keep the `pre` that holds the code."""
    cells = [cell for cell in table.iter("td") if "code" in cell.get("class", "")]
    code = cells[-1].find(".//pre") if cells else None
    parent = table.getparent()
    if code is None or parent is None:
        return
    code.tail = table.tail
    code.set("class", f"code {code.get('class', '')}")
    parent.replace(table, code)


def _preformatted_text(block: _Element) -> str:
    for number in _LINE_NUMBERS(block):
        remove(number)
    for line_break in block.iter("br"):
        line_break.tail = "\n" + (line_break.tail or "")
    lines = "".join(block.itertext()).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").split("\n")
    return CONTROLS.sub("", "\n".join(line.rstrip() for line in lines).strip("\n"))


def protect(text: str) -> str:
    """`text` with marks for its line breaks, tabs, margins and runs of spaces."""
    text = re.sub(r" {2,}|(?<=\n) | (?=\n)|^ ", lambda run: SPACE * len(run[0]), text)
    return text.replace("\n", NEWLINE).replace("\t", TAB)


def looks_like_code(block: _Element) -> bool:
    """Whether a `pre` holds code and not a letter, a poem or a plan: by its markup, else by the look of its lines."""
    around = [block, block.getparent(), *block]
    if any(_CODE_CLASS.search(f"{e.get('class', '')} {e.get('lang', '')}") for e in around if e is not None):
        return True
    if block.tag != "pre" or next(block.iter("code", "samp", "kbd"), None) is not None:
        return True
    lines = [line for line in "".join(block.itertext()).splitlines() if line.strip()]
    return bool(lines) and sum(1 for line in lines if _CODE_LINE.search(line)) >= _CODE_LINES * len(lines)


def remove(element: _Element) -> None:
    """Take `element` out and leave the text that follows it."""
    parent = element.getparent()
    if parent is None:
        return
    if element.tail:
        previous = element.getprevious()
        if previous is None:
            parent.text = (parent.text or "") + element.tail
        else:
            previous.tail = (previous.tail or "") + element.tail
    parent.remove(element)
