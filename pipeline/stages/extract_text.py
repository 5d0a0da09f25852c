"""extract_text: the main text of a page, with its code, tables, lists and formulas.

The engine is trafilatura (its `deduplicate` is off: that option is a cache of the whole process, and the text of a page
would depend on the pages before it) or resiliparse. Caps on bytes, nodes and depth come before the costly work, the CPU
budget from outside (pipeline/page_process/killable_process.py). Text of WET records passes through.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal

from lxml.html import HtmlElement, document_fromstring, tostring
from pydantic import Field
from resiliparse.extract.html2text import extract_plain_text
from trafilatura import bare_extraction
from trafilatura.settings import Extractor

from pipeline.documents import Document, Dropped, Kind, Page
from pipeline.extraction import markup, page_tree, rendering
from pipeline.extraction.charset import Decoding, decode
from pipeline.extraction.page_tree import RefusedError
from pipeline.settings import Settings

NAME = "extract_text"
_DUMPED_SHARE = 0.9
_TABS = re.compile(r"\t+")
Engine = Callable[[HtmlElement], str]  # a tree that it may change -> text with the marks of `markup`


class ExtractTextSettings(Settings):
    """trafilatura's fall-back engines (readability, jusText) are asked only where its rules find little: asking them on
    every page takes a third longer, changes 1 text in 25, and leaves F1 on 700 gold pages at .893.
    """

    engine: Literal["trafilatura", "resiliparse"] = Field("trafilatura", description="which extractor")
    fallback_below: int = Field(800, ge=0, description="characters below which trafilatura asks its fall-back engines")
    comments: bool = Field(False, description="keep readers' comments below articles; posts of a forum are kept anyway")
    tables: bool = Field(True, description="keep tables of data")
    max_bytes: int = Field(10_000_000, gt=0, description="larger pages are dropped; most real ones have 0.1 MB")
    max_nodes: int = Field(100_000, gt=0, description="tags in the page; most real ones have 1,500")
    min_characters: int = Field(25, ge=1, description="shorter texts are dropped; the word rules come later")


class Reason(StrEnum):
    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TOO_DEEP = "too_deep"
    NO_TEXT = "no_text"
    TOO_SHORT = "too_short"
    EXTRACTION_ERROR = "extraction_error"


SIGNALS = (
    "html_bytes",
    "charset_step",
    "dom_nodes",
    "dom_code",
    "dom_formulas",
    "dom_tables",
    "dom_lists",
    "text_code",
    "text_formulas",
    "text_tables",
    "text_lists",
    "text_characters",
)


def build(settings: ExtractTextSettings) -> Callable[[Page], Document | Dropped]:
    """The stage, warm: trafilatura loads its word lists on the first page that needs them."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it reports every page; here that is the ledger's work
    engine = _trafilatura(settings) if settings.engine == "trafilatura" else _resiliparse(settings)
    engine(document_fromstring("<p>warm</p>"))
    return lambda page: _extract(page, settings, engine)


def _extract(page: Page, settings: ExtractTextSettings, engine: Engine) -> Document | Dropped:
    try:
        if page.kind is Kind.TEXT:
            return _passed_through(page, settings)
        return _extracted(page, settings, engine)
    except RefusedError as refused:
        return Dropped(page, NAME, Reason(refused.refusal), refused.value, refused.threshold)
    except MemoryError:
        raise  # the page process ends with it, and the page gets another try
    except Exception as error:  # whatever the engine meets on hostile input costs this page
        return Dropped(page, NAME, Reason.EXTRACTION_ERROR, detail=f"{type(error).__name__}: {error}"[:500])


def _extracted(page: Page, settings: ExtractTextSettings, engine: Engine) -> Document | Dropped:
    opened = page_tree.take(page) or page_tree.open_page(page, settings.max_bytes, settings.max_nodes)
    text, after = rendering.finish(engine(opened.tree))
    signals = {"dom_nodes": opened.elements, **_named("dom", opened.counts), **_named("text", after)}
    return _document(page, settings, opened.title, text, {**signals, "charset_step": _step(opened.decoding)})


def _passed_through(page: Page, settings: ExtractTextSettings) -> Document | Dropped:
    if len(page.content) > settings.max_bytes:
        return Dropped(page, NAME, Reason.TOO_LARGE, len(page.content), settings.max_bytes)
    text, how = decode(page.content, page.http_charset)
    lines = (line.rstrip() for line in markup.CONTROLS.sub("", text).splitlines())
    return _document(page, settings, "", "\n".join(lines).strip(), {"charset_step": _step(how)})


def _step(decoding: Decoding) -> float:
    """Position in `Decoding`: 0 byte order mark, 1 HTTP header, 2 meta, 3 UTF-8, 4 detected, 5 replaced."""
    return float(list(Decoding).index(decoding))


def _document(
    page: Page, settings: ExtractTextSettings, title: str, text: str, signals: dict[str, float]
) -> Document | Dropped:
    if not text:
        return Dropped(page, NAME, Reason.NO_TEXT, 0, 1)
    if len(text) < settings.min_characters:
        return Dropped(page, NAME, Reason.TOO_SHORT, len(text), settings.min_characters, excerpt=text)
    return Document(
        id=page.id,
        url=page.url,
        fetched_at=page.fetched_at,
        warc_file=page.warc_file,
        warc_offset=page.warc_offset,
        host=page.host,
        registered_domain=page.registered_domain,
        title=title,
        text=text,
        signals={
            **dict.fromkeys(SIGNALS, 0.0),
            **signals,
            "html_bytes": len(page.content),
            "text_characters": len(text),
        },
    )


def _named(prefix: str, counts: markup.Counts) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(counts, name) for name in ("code", "formulas", "tables", "lists")}


def _trafilatura(settings: ExtractTextSettings) -> Engine:
    quick, thorough = (
        Extractor(output_format="txt", fast=fast, comments=settings.comments, tables=settings.tables, dedup=False)
        for fast in (True, False)
    )

    resiliparse = _resiliparse(settings)

    def extract(tree: HtmlElement) -> str:
        text = _main_text(tree, quick)
        if len(text) < settings.fallback_below:
            text = _main_text(tree, thorough)
        return resiliparse(tree) or text if _is_dump(text, tree) else text

    return extract


def _is_dump(text: str, tree: HtmlElement) -> bool:
    """trafilatura's last resort is all text of the page in one paragraph, menus and all. On the gold pages where that
    happens resiliparse has F1 .80 and it .71; and it finds the paragraphs, which the filters need.
    """
    if markup.PARAGRAPH in text.strip(markup.PARAGRAPH):
        return False
    everything = sum(map(len, tree.text_content().split()))
    return sum(map(len, text.split())) > _DUMPED_SHARE * everything


def _main_text(tree: HtmlElement, options: Extractor) -> str:
    """trafilatura works on a copy of the tree."""
    found: Any = bare_extraction(tree, options=options)
    if found is None:
        return ""
    comments = rendering.render(found.commentsbody) if options.comments and found.commentsbody is not None else ""
    return rendering.render(found.body) + markup.PARAGRAPH + comments


def _resiliparse(settings: ExtractTextSettings) -> Engine:
    def extract(tree: HtmlElement) -> str:
        _keep_lists(tree)
        html = tostring(tree, encoding="unicode")
        text = extract_plain_text(html, preserve_formatting=True, main_content=True, comments=settings.comments)
        return markup.PARAGRAPH.join(map(_marked, text.split("\n\n")))

    return extract


def _keep_lists(tree: HtmlElement) -> None:
    """resiliparse takes every `ul` for a menu. Those are gone by now: what is left becomes lines with a dash."""
    items = [(item, sum(1 for _ in item.iterancestors("ul", "ol"))) for item in tree.iter("li")]
    for item, depth in items:
        if item.getparent().tag == "ul":
            item.text = f"{markup.SPACE * 2 * (depth - 1)}- {(item.text or '').lstrip()}"
            item.tag = "div"
    for unordered in list(tree.iter("ul")):
        unordered.tag = "div"


def _marked(block: str) -> str:
    """A paragraph of resiliparse's text: its tab-separated rows become a table."""
    lines = block.split("\n")
    rows = ["\t" in line.strip() for line in lines]
    marked = [f"| {_TABS.sub(' | ', line.strip())} |" if row else line for line, row in zip(lines, rows, strict=True)]
    lists = any(line.lstrip(f" {markup.SPACE}").startswith("- ") for line in lines)
    return markup.TABLE * any(rows) + markup.LIST * lists + markup.LINE.join(marked)
