"""Replace formulas (MathML, KaTeX, MathJax, MediaWiki images) by their LaTeX between marks."""

from __future__ import annotations

import re

from lxml.etree import XPath, _Element
from lxml.html import HtmlElement

from pipeline.extraction.dom import remove_element
from pipeline.extraction.latex import find_latex, is_display
from pipeline.extraction.marks import DISPLAY, MATH

_MATHML = ("math", "m:math", "mml:math")
# What a script rendered from a formula whose source is in the page as well.
_RENDERED_FORMULAS = XPath(
    "//*[contains(concat(' ', @class, ' '), ' katex-html ') or contains(@class, 'MathJax_Preview')]"
    " | //*[contains(concat(' ', @class, ' '), ' MathJax ') or contains(@class, 'MathJax_SVG')"
    " or contains(@class, 'MathJax_Display') or contains(@class, 'MathJax_CHTML')][not(.//math)]"
)
_FORMULA_IMAGE = re.compile(r"mwe-math|\blatex|(?<!\S)tex(?!\S)")  # tex: MediaWiki until 2013
_WRAPPER = re.compile(r"^(mwe-math|katex|MathJax|MJX|ltx_Math)|\bkatex")
_FORMULA_IN_TEXT = re.compile(r"\$\$[^$]{1,2000}?\$\$|\\\([^$]{1,500}?\\\)|\\\[[^$]{1,2000}?\\\]", re.DOTALL)


def protect_formulas(tree: HtmlElement, source: bytes) -> int:
    """Put LaTeX in the place of every formula, and count them.

    A search of the bytes shows which kinds the page has. Images come last: most are removed with MathML beside them.
    """
    found = 0
    if b"katex-html" in source or b"MathJax" in source:
        for rendered in _RENDERED_FORMULAS(tree):
            remove_element(rendered)
    if b"math" in source:
        found += sum(_replace_by_latex(math) for math in list(tree.iter(*_MATHML)))
        scripts = [script for script in tree.iter("script") if script.get("type", "").startswith("math/")]
        found += sum(_replace_by_latex(script) for script in scripts)
    if b"mwe-math" in source or b"tex" in source:
        images = [image for image in tree.iter("img") if _FORMULA_IMAGE.search(image.get("class", ""))]
        found += sum(_replace_by_latex(image) for image in images)
    return found


def count_formulas_in_text(text: str) -> int:
    """Formulas between `$$`, `\\(` or `\\[`, which the author wrote as text for MathJax."""
    return sum(1 for _ in _FORMULA_IN_TEXT.finditer(text))


def _replace_by_latex(element: _Element) -> bool:
    """Put the formula's LaTeX in its place; False if it is empty."""
    latex = find_latex(element)
    if not latex or element.getparent() is None:
        return False
    mark = DISPLAY if is_display(element) else MATH
    whole = _outermost_wrapper(element)
    whole.tail = f"{mark}{latex}{mark}{whole.tail or ''}"
    parent = whole.getparent()
    remove_element(whole)
    if mark == DISPLAY and parent is not None and parent.tag == "div" and not len(parent):
        parent.tag = "p"  # an equation in a <div> of its own: the engine drops short divs, but no paragraphs
    return True


def _outermost_wrapper(formula: _Element) -> _Element:
    """The outermost element made for this formula alone: renderers hide the source and show an image beside it."""
    for ancestor in formula.iterancestors("span", "div", "mjx-container", "mjx-assistive-mml"):
        if not _WRAPPER.search(ancestor.get("class", "")) and ancestor.tag[:3] != "mjx":
            break
        if sum(1 for _ in ancestor.iter(*_MATHML)) > 1:
            break
        formula = ancestor
    return formula
