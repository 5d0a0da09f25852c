"""Text of web pages for training and evaluation: from WARC files to one row of plain text for each page.

The pipeline extracts text in the same way (trafilatura with `deduplicate` off, so that a page's text does not depend on
the pages before it). With this module a model can be trained from WARC files alone; for a whole crawl, give
`gristmill classify sample` the shards of a `gristmill curate` run instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from classifiers.data.tables import write_jsonl
from classifiers.urls import host_of, registered_domain_of

CORPUS_VERSION = 2  # version of the rows that `read_warc` yields
MAX_HTML = 3_000_000  # bytes; larger pages are archives and listings, and cost seconds each
_NO_WORD = re.compile(r"\W+")
_JSON_TYPE = re.compile(r'"@type"\s*:\s*"(\w{2,40})"')
HTML_TYPES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class TextRow:
    """One page for training or evaluation."""

    id: str  # SHA-1 of the captured bytes
    url: str
    source: str  # name of the WARC file without number and suffix: the collection the page came from
    title: str
    text: str
    boilerplate: str = ""  # the lines of the page that are not its main text: menus, teasers, footers
    markup: str = ""  # `markup_signs`, one per line: evidence for weak labels, not an input of any model

    @property
    def registered_domain(self) -> str:
        return registered_domain_of(host_of(self.url))


def extract(html: bytes, charset: str | None = None) -> tuple[str, str, str, str] | None:
    """(title, main text, boilerplate, markup) of a page; None if no text can be extracted."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from trafilatura import extract as main_text
    from trafilatura import load_html

    encoding = charset or detect_encoding(html, from_html_meta=True) or "utf-8"
    decoded = bytes_to_str(html, encoding)
    tree = load_html(decoded)
    if tree is None:
        return None
    title = " ".join("".join(tree.xpath("string((//title)[1])")).split())
    markup = markup_signs(tree)
    text = main_text(tree, output_format="markdown", include_tables=True, include_comments=True, deduplicate=False)
    if not text:
        return None
    everything = extract_plain_text(decoded, preserve_formatting=True, main_content=False, alt_texts=False)
    return title, text, "\n".join(_lines_outside(everything, text)), markup


def markup_signs(tree: Any) -> str:
    """Machine-readable declarations of a page, one per line: Open Graph type, schema.org types, generator."""
    signs = [("og", value) for value in tree.xpath("//meta[@property='og:type']/@content")]
    signs += [("schema", value.rsplit("/", 1)[-1]) for value in tree.xpath("//@itemtype")]
    scripts = tree.xpath("//script[@type='application/ld+json']/text()")
    signs += [("schema", value) for script in scripts for value in _JSON_TYPE.findall(script)]
    signs += [("generator", value) for value in tree.xpath("//meta[@name='generator']/@content")]
    return "\n".join(sorted({f"{where} {words[0].lower()[:40]}" for where, value in signs if (words := value.split())}))


def _lines_outside(everything: str, main: str) -> Iterator[str]:
    """Lines that do not occur in the main text; spacing and punctuation are ignored."""
    inside = _NO_WORD.sub("", main).lower()
    for line in map(str.strip, everything.splitlines()):
        letters = _NO_WORD.sub("", line).lower()
        if letters and letters not in inside:
            yield line


def read_warc(path: Path, share: float = 1.0) -> Iterator[TextRow]:
    """Pages of one WARC file; with `share` < 1 a sample by hash, which is part of the sample of any larger share."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    source = path.name.removesuffix(".gz").removesuffix(".warc").rsplit("-", 1)[0]
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            if record.http_content_type not in HTML_TYPES and record.http_content_type:
                continue
            content = record.reader.read(MAX_HTML)
            identity = sha1(content).hexdigest()  # noqa: S324 - an id as in the data sets, not security
            if int(identity[:8], 16) >= share * 2**32:
                continue
            found = extract(content, record.http_charset)
            if found:
                yield TextRow(identity, str(record.headers.get("WARC-Target-URI", "")), source, *found)


def write_rows(rows: Iterable[TextRow], path: Path) -> int:
    """Write JSON Lines, one row per page; returns the number of rows."""
    return write_jsonl((asdict(row) for row in rows), path)


def read_rows(path: Path) -> Iterator[TextRow]:
    """Read the rows that `write_rows` wrote."""
    with path.open(encoding="utf-8") as file:
        yield from (TextRow(**json.loads(line)) for line in file)
