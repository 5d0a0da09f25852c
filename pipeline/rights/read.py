"""The rights of one page, from its headers and its parsed tree: 0.1 ms for most pages, which are parsed already."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.html import HtmlElement

from pipeline.documents import Rights
from pipeline.rights.headers import LINK, Headers
from pipeline.rights.licenses import HINT, Mark, choose_license, read_header_licenses, read_page_licenses
from pipeline.rights.opt_outs import read_header_opt_outs, read_meta_opt_outs


def read_rights(headers: Headers, tree: HtmlElement | None = None, source: bytes = b"") -> Rights:
    """What the page says about its use. `source` is what `tree` was parsed from; a page of text has neither."""
    opt_outs = list(read_header_opt_outs(headers)) if headers else []
    marks: list[Mark] = list(read_header_licenses(headers)) if any(name == LINK for name, _ in headers) else []
    if tree is not None:
        opt_outs += read_meta_opt_outs(meta.attrib for meta in _metas(tree))
        if HINT in source:
            marks += read_page_licenses(tree)
    if not opt_outs and not marks:
        return _NOTHING
    return Rights(tuple(sorted(set(opt_outs))), *choose_license(marks))


def _metas(tree: HtmlElement) -> Iterator[HtmlElement]:
    """The meta elements of the head, and those that the parser put at the top of the body.

    A walk over the whole page takes twice the time, 117 us, and found no other opt-out in 994 pages.
    """
    for part in tree.iterchildren("head", "body"):
        yield from part.iterchildren("meta")


_NOTHING = Rights()
