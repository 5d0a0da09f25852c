"""Find a formula's LaTeX in its markup: what KaTeX, MathJax, MediaWiki and LaTeXML put into pages, or MathML itself."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from lxml import etree
from lxml.etree import XPath, _Element

from pipeline.extraction.marks import CONTROLS, MARKS
from pipeline.extraction.mathml import local_name, write_latex

_ANNOTATION = XPath(
    ".//*[local-name()='annotation' or local-name()='tex-math'][not(@encoding) or contains(@encoding, 'tex')"
    " or contains(@encoding, 'TeX')]"
)
_MATH = XPath("descendant-or-self::*[local-name()='math' or local-name()='m:math' or local-name()='mml:math']")
_SCRIPT = XPath(".//script[starts-with(@type, 'math/tex')]")
_IMAGE = XPath("descendant-or-self::img[@alt]")
_SOURCE_ATTRIBUTES = ("data-latex", "data-tex", "data-katex", "data-formula", "data-equation", "data-expr")
_STYLE = re.compile(r"\\(?:display|text)style\b")
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_LONGEST = 20_000  # characters of MathML in an attribute


def find_latex(formula: _Element) -> str:
    """The LaTeX of a formula's outermost element, in one line; its characters if it has none, "" if it is empty."""
    return _normalize(_source(formula))


def _source(formula: _Element) -> str:
    tag = formula.tag
    if tag == "script":
        kind = formula.get("type", "")
        return str(formula.text or "") if "tex" in kind or "mml" not in kind else _parse_mathml(formula.text or "")
    if tag == "img":
        return image_latex(formula)
    for annotation in _ANNOTATION(formula):
        if annotation.text and annotation.text.strip():
            return str(annotation.text)
    for math in _MATH(formula):
        if latex := math.get("alttext"):
            return str(latex)
    for attribute in _SOURCE_ATTRIBUTES:
        if latex := formula.get(attribute):
            return str(latex)
    for script in _SCRIPT(formula):
        return str(script.text or "")
    for math in _MATH(formula):
        return write_latex(math)
    if mathml := formula.get("data-mathml"):
        return _parse_mathml(mathml)
    for image in _IMAGE(formula):
        return image_latex(image)
    return "".join(formula.itertext())


def image_latex(image: _Element) -> str:
    """The LaTeX of an image that a service drew: in its address, else its alternative text."""
    address = image.get("src") or ""
    if "latex" in address or "cht=tx" in address:
        query = urlsplit(address[:_LONGEST]).query if address.startswith(("http:", "https:", "//", "/")) else ""
        for part in query.split("&"):
            name, _, value = part.partition("=")
            if name in ("latex", "chl") and value:
                return unquote(value.replace("+", " "))
        if query and "codecogs.com" in address:
            return unquote(query)
    return image.get("alt") or ""


def _parse_mathml(source: str) -> str:
    if not source.strip() or len(source) > _LONGEST:
        return ""
    parser = etree.HTMLParser(remove_comments=True, remove_pis=True, no_network=True)
    try:
        tree = etree.fromstring(source, parser=parser)
    except (etree.LxmlError, ValueError):
        return ""
    maths = _MATH(tree) if tree is not None else []
    return write_latex(maths[0]) if maths else ""


def _normalize(latex: str) -> str:
    """One line without delimiters and without the braces that MediaWiki puts around each formula."""
    text = " ".join(MARKS.sub("", CONTROLS.sub(" ", latex)).split())
    for left, right in _DELIMITERS:
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            text = text[len(left) : -len(right)].strip()
            break
    if text.startswith("{\\") and text.endswith("}") and (style := _STYLE.match(text, 1)):
        text = text[style.end() : -1].strip()
    return text


def is_display(formula: _Element) -> bool:
    """Whether the formula stands in a line of its own."""
    if formula.tag == "script":
        return "mode=display" in formula.get("type", "").replace(" ", "")
    if formula.get("display") in ("block", "true") or "display" in formula.get("class", ""):
        return True
    if local_name(formula) == "math":
        return False
    return any(math.get("display") == "block" for math in _MATH(formula))
