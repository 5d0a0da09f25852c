"""Read the articles of a Wikipedia dump, in bounded memory: one at a time, none longer than MediaWiki's own limit.

A dump of a few kilobytes may unpack to gigabytes, so every piece that the XML parser must hold as a whole has a cap.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from classifiers.errors import UserError, explain_disk

MAX_ARTICLE = 2 << 20  # characters of wikitext; MediaWiki stops at as many bytes
MAX_PIECE = 8 << 20  # bytes of one tag, comment or declaration
MAX_DEPTH = 64  # elements inside each other; a dump has 5
_READ = 1 << 16  # bytes
_FIELDS = ("title", "ns", "text")


class DumpError(UserError):
    """The file is not a MediaWiki XML dump, or is truncated."""


@contextmanager
def open_dump(path: Path) -> Iterator[IO[bytes]]:
    """A dump as bytes: .bz2 (multistream too), .gz, or plain XML."""
    opener: Any = {".bz2": bz2.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "rb") as file:
        yield file


def articles(
    dump: IO[bytes], name: str = "the dump", on_too_long: Callable[[str], object] = lambda title: None
) -> Iterator[tuple[str, str]]:
    """(title, wikitext) of every article (namespace 0, no redirects); `on_too_long` gets the title of one left out."""
    pages = _Pages(on_too_long)
    try:
        while block := _read_block(dump, name):
            pages.feed(block)
            yield from pages.take()
        pages.feed(b"", is_last=True)
        yield from pages.take()
    except (expat.ExpatError, EOFError, OSError, zlib.error, _NoDumpError) as error:
        raise DumpError(f"{name} cannot be read as a MediaWiki XML dump: {error}; download it again") from error


def _read_block(dump: IO[bytes], name: str) -> bytes:
    with explain_disk(name):
        return dump.read(_READ)


class _NoDumpError(Exception):
    """The XML is beyond what a dump contains."""


class _Pages:
    """Collects the pages of a dump from its XML events."""

    def __init__(self, on_too_long: Callable[[str], object]) -> None:
        self._on_too_long = on_too_long
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add
        self._parser.EntityDeclHandler = self._refuse_entities
        self._complete: list[tuple[str, str]] = []
        self._fed = self._depth = 0
        self._page: dict[str, list[str]] = {}
        self._length = 0  # of the field that is being read
        self._field = ""
        self._is_redirect = False

    def feed(self, block: bytes, *, is_last: bool = False) -> None:
        self._fed += len(block)
        self._parser.Parse(block, is_last)
        if self._fed - self._parser.CurrentByteIndex > MAX_PIECE:
            raise _NoDumpError(f"one tag is longer than {MAX_PIECE:,} bytes")

    def take(self) -> list[tuple[str, str]]:
        """The articles that are complete since the last call."""
        complete, self._complete = self._complete, []
        return complete

    def _start(self, tag: str, _attributes: Any) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _NoDumpError(f"more than {MAX_DEPTH} elements inside each other")
        name = tag.rpartition("}")[2]
        if name == "page":
            self._page, self._is_redirect = {}, False
        elif name == "redirect":
            self._is_redirect = True
        elif name in _FIELDS:
            self._field, self._length = name, 0
            self._page[name] = []

    def _add(self, text: str) -> None:
        if not self._field:
            return
        self._length += len(text)
        if self._length <= MAX_ARTICLE:
            self._page[self._field].append(text)
        else:
            self._page[self._field].clear()

    def _end(self, tag: str) -> None:
        self._depth -= 1
        name = tag.rpartition("}")[2]
        if name == self._field:
            self._page[name] = ["".join(self._page[name])]
            if self._length > MAX_ARTICLE and name == "text" and self._is_article():
                self._on_too_long(self._get("title"))
            self._field = ""
        elif name == "page":
            if self._is_article() and (text := self._get("text")):
                self._complete.append((self._get("title"), text))
            self._page = {}

    def _is_article(self) -> bool:
        return self._get("ns") in ("", "0") and not self._is_redirect

    def _get(self, field: str) -> str:
        return "".join(self._page.get(field, ()))

    def _refuse_entities(self, *_: object) -> None:
        raise _NoDumpError("it declares entities, which no dump does")
