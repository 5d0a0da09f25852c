"""Text of web pages for training and measuring: WARC files in, one row of plain text a page out.

The pipeline stages text the same way (trafilatura, `deduplicate` off, so that a page's text never depends on the pages
before it). This module exists so that a model can be trained from WARC files alone; for a whole crawl, feed
`gristmill classify sample` the staged Parquet files of a `gristmill curate` run instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from classifiers.urls import host_of, registered_domain_of

CORPUS_VERSION = 2  # of what `read_warc` makes of a page
MAX_HTML = 3_000_000  # bytes; larger pages are archives and listings, and cost seconds each
_NO_WORD = re.compile(r"\W+")
_JSON_TYPE = re.compile(r'"@type"\s*:\s*"(\w{2,40})"')
HTML_TYPES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class TextRow:
    """One page as the classifiers see it."""

    id: str  # SHA-1 of the captured bytes
    url: str
    source: str  # name of the WARC file without number and suffix: the collection the page came from
    title: str
    text: str
    boilerplate: str = ""  # the lines of the page that are not its main text: menus, teasers, footers
    markup: str = ""  # what the page says of itself to machines, a line each: evidence for labels, no input of a model

    @property
    def registered_domain(self) -> str:
        return registered_domain_of(host_of(self.url))


def extract(html: bytes, charset: str | None = None) -> tuple[str, str, str, str] | None:
    """(title, main text, boilerplate, markup) of a page; None where nothing can be read from it."""
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
    """What a page says of itself to machines: its Open Graph type, its schema.org types, the program that made it."""
    said = [("og", value) for value in tree.xpath("//meta[@property='og:type']/@content")]
    said += [("schema", value.rsplit("/", 1)[-1]) for value in tree.xpath("//@itemtype")]
    scripts = tree.xpath("//script[@type='application/ld+json']/text()")
    said += [("schema", value) for script in scripts for value in _JSON_TYPE.findall(script)]
    said += [("generator", value) for value in tree.xpath("//meta[@name='generator']/@content")]
    return "\n".join(sorted({f"{where} {words[0].lower()[:40]}" for where, value in said if (words := value.split())}))


def _lines_outside(everything: str, main: str) -> Iterator[str]:
    """Lines whose letters do not occur in the main text, whatever the spacing and marks."""
    inside = _NO_WORD.sub("", main).lower()
    for line in map(str.strip, everything.splitlines()):
        letters = _NO_WORD.sub("", line).lower()
        if letters and letters not in inside:
            yield line


def read_warc(path: Path, share: float = 1.0) -> Iterator[TextRow]:
    """Pages of one WARC file; with `share` < 1 those whose id lies below it: a larger share contains a smaller."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    source = path.name.removesuffix(".gz").removesuffix(".warc").rsplit("-", 1)[0]
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            if record.http_content_type not in HTML_TYPES and record.http_content_type:
                continue
            content = record.reader.read(MAX_HTML)
            identity = sha1(content).hexdigest()  # noqa: S324 - names the page as the data sets do, guards nothing
            if int(identity[:8], 16) >= share * 2**32:
                continue
            found = extract(content, record.http_charset)
            if found:
                yield TextRow(identity, str(record.headers.get("WARC-Target-URI", "")), source, *found)


def write_rows(rows: Iterable[TextRow], path: Path) -> int:
    """JSON Lines, one row a page; the number of rows."""
    count = 0
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            count += 1
    partial.replace(path)
    return count


def read_rows(path: Path) -> Iterator[TextRow]:
    """What `write_rows` wrote."""
    with path.open(encoding="utf-8") as file:
        yield from (TextRow(**json.loads(line)) for line in file)
