"""Many pages out of few real ones: each copy has a host of its own and other words, so that none is a duplicate.

A share of a page's words changes places with other words of the same page: markup, bytes, charset and language stay,
and two copies share hardly a run of five words. Hosts differ, so neither URLs nor hosts are equal.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipeline.config import Config
from pipeline.documents import Page
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import read_unit

EXCHANGED = 0.4  # share of the words: a run of five words stays as it is with probability 0.08
_TEXT = re.compile(rb">[^<>]+<")
# Bytes above 0x7f together: in UTF-8 and in the code pages of one byte a run of them is never cut.
_WORD = re.compile(rb"[A-Za-z\x80-\xff]{3,}")


def read_pages(files: Sequence[Path]) -> Iterator[Page]:
    """The HTML pages of WARC files."""
    for unit in cut_units(resolve_inputs([str(file) for file in files], prefix=None, limit=None), 10**12):
        yield from (item for item in read_unit(unit, Config().read_warc) if isinstance(item, Page))


def exchange_words(html: bytes, seed: int) -> bytes:
    """The page with a share of the words of its text in other places."""
    chance = random.Random(seed)
    places = [
        (text.start() + word.start(), text.start() + word.end())
        for text in _TEXT.finditer(html)
        for word in _WORD.finditer(text[0])
        if chance.random() < EXCHANGED
    ]
    words = [html[start:end] for start, end in places]
    chance.shuffle(words)
    pieces, end = [], 0
    for (start, stop), word in zip(places, words, strict=True):
        pieces += [html[end:start], word]
        end = stop
    return b"".join([*pieces, html[end:]])


def write_pages(pages: Sequence[Page], count: int, path: Path) -> int:
    """Write `count` copies of the pages in turn as a WARC file; returns its bytes. Same pages, same bytes."""
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for number in range(count):
            page = pages[number % len(pages)]
            writer.write_record(_record(writer, page, number, first=number < len(pages)))
        return file.tell()


def _record(writer: WARCWriter, page: Page, number: int, first: bool):
    body = page.content if first else exchange_words(page.content, number)
    charset = f"; charset={page.http_charset}" if page.http_charset else ""
    headers = StatusAndHeaders("200 OK", [("Content-Type", f"text/html{charset}")], protocol="HTTP/1.1")
    path = page.url.split("://", 1)[-1].partition("/")[2]
    return writer.create_warc_record(
        f"http://www.copy{number}-{page.registered_domain or 'host.com'}/{path}",
        "response",
        payload=BytesIO(body),
        http_headers=headers,
        warc_headers_dict={"WARC-Date": "2026-10-01T12:00:00Z", "WARC-Record-ID": f"<urn:soak:{number}>"},
    )
