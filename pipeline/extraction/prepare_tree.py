"""Rewrite a parsed page before extraction: protect code and formulas, remove menus, wrap text outside paragraphs."""

from __future__ import annotations

from lxml.html import HtmlElement

from pipeline.extraction.code_blocks import protect_code
from pipeline.extraction.dom import LISTS, remove_element
from pipeline.extraction.formulas import count_formulas_in_text, protect_formulas
from pipeline.extraction.layout_tables import unwrap_layout_tables
from pipeline.extraction.link_boxes import remove_link_boxes
from pipeline.extraction.loose_text import wrap_loose_text
from pipeline.extraction.marks import StructureCounts
from pipeline.extraction.superscripts import replace_scripts

_IGNORED = (
    "script", "style", "svg", "template", "button", "select", "datalist", "iframe", "dialog", "noscript", "textarea",
    "input", "object", "embed", "audio", "video", "canvas", "map",
)  # fmt: skip


def prepare_tree(tree: HtmlElement, source: bytes) -> StructureCounts:
    """Rewrite `tree` in place; the structures that the page has.

    Only what is certainly navigation is removed: the engine has less to read, and finds the text more often.
    """
    formulas = protect_formulas(tree, source)
    _remove_ignored(tree)
    code = protect_code(tree)
    replace_scripts(tree)
    remove_link_boxes(tree)
    wrap_loose_text(tree)
    if b"\\(" in source or b"\\[" in source or b"$$" in source:
        formulas += count_formulas_in_text(tree.text_content())
    return StructureCounts(code, formulas, unwrap_layout_tables(tree), sum(1 for _ in tree.iter(*LISTS)))


def _remove_ignored(tree: HtmlElement) -> None:
    """Remove elements that no engine uses: copies of the tree cost less. JSON-LD stays: trafilatura may use it."""
    for element in list(tree.iter(*_IGNORED)):
        if element.tag != "script" or element.get("type") != "application/ld+json":
            remove_element(element)
