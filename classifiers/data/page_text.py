"""Text of web pages for training and evaluation: from WARC files to one row of plain text for each page.

What extracts the text is given by the caller: `gristmill classify` hands over the pipeline's extraction, so that the
models are trained on the text that they will read. For a whole crawl, give `gristmill classify sample` shards of a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Protocol

from classifiers.data.tables import write_jsonl
from classifiers.urls import host_of, registered_domain_of

CORPUS_VERSION = 3  # version of the rows that `read_warc` yields
MAX_HTML = 3_000_000  # bytes; larger pages are archives and listings, and cost seconds each
_JSON_TYPE = re.compile(r'"@type"\s*:\s*"(\w{2,40})"')
HTML_TYPES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """What an extractor finds in a page."""

    title: str
    text: str
    boilerplate: str = ""  # the page's blocks that are not its main text: menus, teasers, footers
    markup: str = ""  # `markup_signs`, one per line
    signals: Mapping[str, float] = field(default_factory=dict)  # named as in the shards: page_type, ...


class PageExtractor(Protocol):
    """Extracts pages; two extractors of one version extract the same."""

    @property
    def version(self) -> str:
        """Names the code and the model."""

    def __call__(self, content: bytes, charset: str | None, url: str) -> ExtractedPage | None:
        """The page's text; None where there is none."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """One page for training or evaluation."""

    id: str  # SHA-1 of the captured bytes
    url: str
    source: str  # name of the WARC file without number and suffix: the collection the page came from
    title: str
    text: str
    boilerplate: str = ""  # the page's blocks that are not its main text
    markup: str = ""  # `markup_signs`, one per line: evidence for weak labels, not an input of any model
    signals: Mapping[str, float] = field(default_factory=dict)  # of the extraction; empty where only text is known

    @property
    def registered_domain(self) -> str:
        return registered_domain_of(host_of(self.url))

    @property
    def group(self) -> str:
        """What is in one split and one fold only: the registered domain, or the row's id where it has no URL."""
        return self.registered_domain or self.id


def markup_signs(tree: Any) -> str:
    """Machine-readable declarations of a page, one per line: Open Graph type, schema.org types, generator."""
    signs = [("og", value) for value in tree.xpath("//meta[@property='og:type']/@content")]
    signs += [("schema", value.rsplit("/", 1)[-1]) for value in tree.xpath("//@itemtype")]
    scripts = tree.xpath("//script[@type='application/ld+json']/text()")
    signs += [("schema", value) for script in scripts for value in _JSON_TYPE.findall(script)]
    signs += [("generator", value) for value in tree.xpath("//meta[@name='generator']/@content")]
    return "\n".join(sorted({f"{where} {words[0].lower()[:40]}" for where, value in signs if (words := value.split())}))


def read_warc(
    path: Path, extract: PageExtractor, share: float = 1.0, always: Collection[str] = ()
) -> Iterator[TextRow]:
    """Pages of one WARC file; with `share` < 1 a sample by hash, which is part of the sample of any larger share, and
    the pages whose ids are in `always`."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    source = path.name.removesuffix(".gz").removesuffix(".warc").rsplit("-", 1)[0]
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            if record.http_content_type not in HTML_TYPES and record.http_content_type:
                continue
            content = record.reader.read(MAX_HTML)
            if int(id_of(content)[:8], 16) < share * 2**32 or id_of(content) in always:
                url = str(record.headers.get("WARC-Target-URI", ""))
                yield from read_page(content, record.http_charset, url, source, extract)


def read_page(content: bytes, charset: str | None, url: str, source: str, extract: PageExtractor) -> Iterator[TextRow]:
    """The row of a page, if it has text."""
    if found := extract(content, charset, url):
        yield TextRow(
            id_of(content), url, source, found.title, found.text, found.boilerplate, found.markup, found.signals
        )


def id_of(content: bytes) -> str:
    """SHA-1 of the captured bytes; of the URL for texts that are no captured pages."""
    return sha1(content).hexdigest()  # noqa: S324 - an id as in the data sets, not security


def write_rows(rows: Iterable[TextRow], path: Path) -> int:
    """Write JSON Lines, one row per page; returns the number of rows."""
    return write_jsonl((asdict(row) for row in rows), path)


def read_rows(path: Path) -> Iterator[TextRow]:
    """Read the rows that `write_rows` wrote."""
    with path.open(encoding="utf-8") as file:
        yield from (TextRow(**json.loads(line)) for line in file)
