"""From the decoded HTML of a page to a tree: remove what XML cannot hold, count the tags, parse."""

from __future__ import annotations

import re

from lxml import etree
from lxml.etree import XPath
from lxml.html import HtmlComment, HtmlElement, HtmlEntity, HtmlProcessingInstruction

PARSER_DEPTH = 256  # libxml2's own limit: it stops reading a page that nests deeper

# Private-use characters of plane 15 that no page uses: the pipeline marks code and formulas with them.
_RESERVED = re.compile("[\U000f0000-\U000f000f]")
_RESERVED_BEGIN = "\U000f0000".encode()[:3]
_NO_CONTROLS = bytes(32 if byte < 32 and byte not in b"\t\n\r" else byte for byte in range(256))
_FORBIDDEN_REFERENCE = re.compile(
    rb"&#(?:0*(?:[0-8]|1[1-24-9]|2[0-9]|3[01]|6553[45]|98304[0-9]|98305[0-5])(?![0-9])"
    rb"|[xX]0*(?:[0-8bceBCEfF]|1[0-9a-fA-F]|[fF]{3}[eEfF]|[fF]000[0-9a-fA-F])(?![0-9a-fA-F]));?"
)
_NONCHARACTERS = re.compile(rb"\xef\xbf[\xbe\xbf]")
_TAG = re.compile(rb"<[a-zA-Z]")
# The parser would return what `noframes` holds as one raw text; without frames it is the page.
_NOFRAMES = re.compile(rb"<(/?)noframes\b", re.IGNORECASE)
_COUNT_ELEMENTS = XPath("count(//*)")
# lxml looks the class of every node up in Python; one class for all elements saves an eighth of the extraction.
_ONE_CLASS = etree.ElementDefaultClassLookup(
    element=HtmlElement, comment=HtmlComment, pi=HtmlProcessingInstruction, entity=HtmlEntity
)


def encode_source(html: str) -> bytes:
    """The page as UTF-8 without characters that XML cannot hold, and without the reserved ones.

    A search for one byte takes a tenth of a search for two, and few pages have these.
    """
    source = html.encode("utf-8", "replace").translate(_NO_CONTROLS)
    source = _FORBIDDEN_REFERENCE.sub(b" ", source) if b"&#" in source else source
    source = _NONCHARACTERS.sub(b" ", source) if b"\xef" in source else source
    source = _NOFRAMES.sub(rb"<\1div", source) if b"oframes" in source or b"OFRAMES" in source else source
    return _RESERVED.sub("", source.decode()).encode() if b"\xf3" in source and _RESERVED_BEGIN in source else source


def count_tags(source: bytes, limit: int) -> int:
    """Opening tags in the source. The number of `<`, an upper bound that is fast to count, if it is at most `limit`."""
    bound = source.count(b"<")
    return bound if bound <= limit else sum(1 for _ in _TAG.finditer(source))


def parse_html(source: bytes) -> tuple[HtmlElement | None, bool]:
    """The tree (None if the page is empty), and whether the parser stopped at its depth limit."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    parser.set_element_class_lookup(_ONE_CLASS)
    try:
        tree = etree.fromstring(source, parser=parser)
    except etree.LxmlError:
        return None, False
    return tree, any("Excessive depth" in entry.message for entry in parser.error_log.filter_from_fatals())


def count_elements(tree: HtmlElement) -> int:
    return int(_COUNT_ELEMENTS(tree))
