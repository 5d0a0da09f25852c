"""Pages with their main content marked, to train and to measure extraction.

- WCXB (development part): gold texts by type of page, CC BY 4.0.
- Gold texts of other projects' tests (`gold.jsonl.gz`).
- Our own gold: which text pieces of a page are main content, read piece by piece. The file holds ids and numbers of
  pieces, no text; the pages are found in the WARC files by the SHA-1 of their bytes.

A text piece is a `.text` or `.tail` of an element that is not blank, in document order of the parsed page.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from lxml import etree
from lxml.etree import _Element

from classifiers.data.page_text import HTML_TYPES
from classifiers.errors import UserError
from classifiers.urls import host_of, registered_domain_of

OWN_GOLD = Path(__file__).parent / "extraction_gold.jsonl.gz"
WCXB = Path("extraction") / "wcxb-dev.jsonl.zst"
PAGE_BYTES = 2_000_000  # of a page that the readers saw
_NO_LETTERS = re.compile("[^A-Za-z0-9]")

Run = tuple[int, int]  # first and last piece


@dataclass(frozen=True, slots=True)
class PieceLabels:
    """What readers marked on a page."""

    id: str
    url: str
    source: str
    language: str
    split: str  # train or measure, by registered domain
    page_type: str
    pieces: int
    digest: str
    main: tuple[Run, ...]
    either: tuple[Run, ...]  # careful readers could decide both ways: counts neither for nor against


@dataclass(frozen=True, slots=True)
class GoldPage:
    """A page with its gold text or piece labels."""

    id: str
    url: str
    source: str
    html: str
    page_type: str = ""
    text: str = ""
    labels: PieceLabels | None = None

    @property
    def registered_domain(self) -> str:
        return registered_domain_of(host_of(self.url))


def read_wcxb(data: Path) -> Iterator[GoldPage]:
    """The pages of WCXB's development part."""
    import zstandard

    path = data / WCXB
    if not path.is_file():
        raise UserError(f"{path} does not exist: name the data folder with --data")
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            row = json.loads(line)
            yield GoldPage(row["id"], row["url"], "wcxb", row["html"], row["page_type"], row["text"])


def read_shared_gold(data: Path, sources: Iterable[str]) -> Iterator[GoldPage]:
    """Pages of these collections that have a gold text."""
    wanted = set(sources)
    rows = _json_lines(data / "gold.jsonl.gz")
    gold = {row["sha1"]: row for row in rows if row["source"] in wanted and row["kind"] == "full"}
    for identity, html in _pages(data, {row["source"] for row in gold.values()}):
        if (row := gold.pop(identity, None)) is not None:
            yield GoldPage(identity, row["url"], row["source"], html, text=row["text"])


def read_piece_labels(path: Path = OWN_GOLD) -> list[PieceLabels]:
    """The labels of our own gold, in the order of the file."""
    return [
        PieceLabels(
            **{name: value for name, value in row.items() if name not in ("main", "either", "reader")},
            main=tuple((first, last) for first, last in row["main"]),
            either=tuple((first, last) for first, last in row["either"]),
        )
        for row in _json_lines(path)
    ]


def read_own_gold(data: Path, labels: Iterable[PieceLabels]) -> Iterator[GoldPage]:
    """The labeled pages that the WARC files hold."""
    wanted = {row.id: row for row in labels}
    for identity, html in _pages(data, {row.source for row in wanted.values()}):
        if (row := wanted.pop(identity, None)) is not None:
            yield GoldPage(identity, row.url, "own", html, row.page_type, labels=row)


def text_pieces(tree: _Element) -> list[tuple[_Element, bool, str]]:
    """Every text piece: the node, whether it is its tail, the text."""
    found = []
    for event, node in etree.iterwalk(tree, events=("start", "end")):
        text = node.text if event == "start" else node.tail
        if text and not text.isspace():
            found.append((node, event == "end", text))
    return found


def check_pieces(labels: PieceLabels, pieces: list[tuple[_Element, bool, str]]) -> None:
    """Raise UserError if the page is not parsed into the pieces that the readers saw."""
    letters = _NO_LETTERS.sub("", "".join(text for _, _, text in pieces))
    digest = sha1(letters.encode()).hexdigest()[:12]  # noqa: S324 - a checksum, not security
    if len(pieces) != labels.pieces or digest != labels.digest:
        raise UserError(
            f"page {labels.id} ({labels.url}) has {len(pieces)} text pieces with digest {digest}, its labels are for "
            f"{labels.pieces} with {labels.digest}: the page or the parser differs, so the labels cannot be used"
        )


def _pages(data: Path, sources: set[str]) -> Iterator[tuple[str, str]]:
    """(SHA-1 of the bytes, HTML) of every page of these collections, once."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    seen = set()
    for path in sorted((data / "warc").glob("*.warc.gz")):
        if path.name.rsplit("-", 1)[0] not in sources:
            continue
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                if record.http_content_type and record.http_content_type not in HTML_TYPES:
                    continue
                content = record.reader.read(PAGE_BYTES)
                identity = sha1(content).hexdigest()  # noqa: S324 - an id as in the data sets, not security
                if identity not in seen:
                    seen.add(identity)
                    encoding = record.http_charset or detect_encoding(content, from_html_meta=True) or "utf-8"
                    yield identity, bytes_to_str(content, encoding)


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist: name the data folder with --data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
