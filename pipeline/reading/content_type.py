"""Decide whether a response is HTML: by the type that the crawler detected, then Content-Type, then the bytes.

The byte rules follow the WHATWG MIME Sniffing standard (section 7.1), as browsers do. libmagic is not used: measured on
real pages, it misclassifies one HTML page in seven.
"""

from __future__ import annotations

import re

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_XML_TYPES = frozenset({"text/xml", "application/xml"})
_UNKNOWN_TYPES = frozenset({"", "unknown/unknown", "application/unknown", "*/*", "content/unknown", "unk", "no-type"})
_SNIFFED_BYTES = 1445  # read by a browser, according to the standard
_TAGS = (
    "!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p"  # the standard's list
    "|meta|link|h2|h3|center|form|img|frameset"  # and the first tags of pages from the 1990s
)
_FIRST_TAG = re.compile(rb"[\t\n\x0c\r ]*<(?:(?:%b)[\t\n\x0c\r />]|!--)" % _TAGS.encode(), re.IGNORECASE)
_CLEARLY_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)
_XHTML = re.compile(
    rb"\s*+<\?xml[^>]*>(?>\s|<!--.*?-->|<!DOCTYPE[^>]*>|<\?[^>]*>)*+<html[\s>]", re.IGNORECASE | re.DOTALL
)
_BINARY = (
    b"%PDF-", b"%!PS-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"\x1f\x8b", b"RIFF", b"ID3\x03",
    b"OggS\x00", b"\x00\x00\x01\x00", b"\x00\x00\x00\x18ftyp", b"\xd0\xcf\x11\xe0", b"Rar!\x1a", b"7z\xbc\xaf", b"wOFF",
    b"wOF2", b"\x7fELF",
)  # fmt: skip


def is_html(identified: str, declared: str, body: bytes) -> bool:
    """Whether the response is an HTML page.

    `identified` is the header WARC-Identified-Payload-Type, `declared` the Content-Type of the response; "" if missing.
    """
    if identified and identified not in _UNKNOWN_TYPES:
        # If the crawler detected another type, both the server's type and the bytes must be HTML.
        return identified in HTML_TYPES or (declared in HTML_TYPES and looks_like_html(body))
    if declared in HTML_TYPES:
        return not body.startswith(_BINARY)
    if declared == "text/plain":  # 4 of 8,202 university pages of 1996; Common Crawl's detector accepts them too
        return bool(_CLEARLY_HTML.match(_head(body)))
    if declared in _XML_TYPES:
        return bool(_XHTML.match(_head(body)))
    return (declared in _UNKNOWN_TYPES or "/" not in declared) and looks_like_html(body)


def looks_like_html(body: bytes) -> bool:
    """Whether the first bytes are HTML or XHTML."""
    head = _head(body)
    return bool(_FIRST_TAG.match(head) or _XHTML.match(head))


def _head(body: bytes) -> bytes:
    """The first bytes, without a byte order mark; UTF-16 becomes ASCII by dropping its zero bytes."""
    head = body[: 4 * _SNIFFED_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.replace(b"\x00", b"")[2:_SNIFFED_BYTES]
    return head[:_SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf")
