"""Read the URLs that a Wikipedia edition cites from its XML dump, in bounded memory.

One article at a time is in memory; bzip2 multistream files are supported. mwparserfromhell does the parsing, because
a regular expression on `<ref>` misses named references, templates over several lines and two references on one line.
"""

from __future__ import annotations

import bz2
import gzip
import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError, iterparse

import mwparserfromhell
from mwparserfromhell.nodes import Argument, ExternalLink, Heading, Tag, Template, Wikilink

from classifiers.errors import UserError
from classifiers.urls import normalize_url

MAX_ARTICLE = 4_000_000  # characters of wikitext; MediaWiki itself stops at 2 MiB
_URL = re.compile(r"(?:https?:)?//[^\s<>\[\]{}|\"]+", re.IGNORECASE)
_ARCHIVED = re.compile(
    r"(?:https?:)?//(?:web|liveweb)\.archive\.org/(?:web/)?\d{4,14}(?:[a-z]{2}_|\*)?/(.+)", re.IGNORECASE
)
# Template parameters with an archived version of the page that another parameter cites.
_ARCHIVE_PARAMETERS = frozenset({"archive-url", "archiveurl", "archive_url", "archivio", "urlarchivio", "archiv-url"})


class CitationKind(StrEnum):
    """Where in the article the URL is cited."""

    REF = "ref"
    NAMED_REF = "named_ref"
    TEMPLATE = "template"  # a citation or link template outside any reference
    EXTERNAL_LINK = "external_link"


@dataclass(frozen=True, slots=True)
class Citation:
    """One cited URL; `key` is its normal form, as in the pipeline."""

    article: str
    url: str
    key: str
    kind: CitationKind
    template: str  # name of the innermost template around it, "" where there is none


class DumpError(UserError):
    """The file is not a MediaWiki XML dump, or is truncated."""


@contextmanager
def open_dump(path: Path) -> Iterator[IO[bytes]]:
    """A dump as bytes: .bz2 (multistream too), .gz, or plain XML."""
    opener: Any = {".bz2": bz2.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "rb") as file:
        yield file


def articles(dump: IO[bytes], name: str = "the dump") -> Iterator[tuple[str, str]]:
    """(title, wikitext) of every article (namespace 0, no redirects)."""
    try:
        yield from _articles(dump)
    except (ParseError, EOFError, OSError) as error:
        raise DumpError(f"{name} cannot be read as a MediaWiki XML dump: {error}; download it again") from error


def _articles(dump: IO[bytes]) -> Iterator[tuple[str, str]]:
    title, namespace, text, redirect = "", "", "", False
    stack: list[Any] = []
    for event, element in iterparse(dump, events=("start", "end")):  # noqa: S314
        if event == "start":
            stack.append(element)
            continue
        stack.pop()
        tag = element.tag.rpartition("}")[2]
        if tag == "title":
            title = element.text or ""
        elif tag == "ns":
            namespace = element.text or ""
        elif tag == "redirect":
            redirect = True
        elif tag == "text":
            text = element.text or ""
        elif tag == "page":
            if namespace in ("", "0") and not redirect and text:
                yield title, text
            namespace, text, redirect = "", "", False
            stack[-1].clear()  # otherwise the root element keeps every page


def citations(article: str, wikitext: str) -> Iterator[Citation]:
    """The URLs that one article cites, in order, once for each kind."""
    if "//" not in wikitext or len(wikitext) > MAX_ARTICLE:
        return
    seen: set[tuple[str, CitationKind]] = set()
    code = mwparserfromhell.parse(wikitext, skip_style_tags=True)
    for raw, kind, template in _walk(code, CitationKind.EXTERNAL_LINK, ""):
        url = clean_url(raw)
        if url and (url, kind) not in seen:
            seen.add((url, kind))
            yield Citation(article, url, normalize_url(url), kind, template)


def clean_url(raw: str) -> str:
    """The URL with entities decoded, a scheme, no trailing punctuation; for an archived page, the original URL."""
    found = _URL.match(html.unescape(raw.strip()))
    if not found:
        return ""
    url = found.group().rstrip(".,;:!?'")
    if url.endswith(")") and "(" not in url:
        url = url.rstrip(")")
    archived = _ARCHIVED.fullmatch(url)
    if archived:
        url = archived.group(1) if "//" in archived.group(1)[:8] else f"http://{archived.group(1)}"
    return url if url.lower().startswith("http") else f"https:{url}"


def _walk(code: Any, kind: CitationKind, template: str) -> Iterator[tuple[str, CitationKind, str]]:
    for node in code.nodes if code is not None else ():
        if isinstance(node, ExternalLink):
            yield str(node.url), kind, template
        elif isinstance(node, Template):
            inside = CitationKind.TEMPLATE if kind == CitationKind.EXTERNAL_LINK else kind
            name = str(node.name).strip().lower()
            for parameter in node.params:
                key, value = str(parameter.name).strip().lower(), str(parameter.value).strip()
                if key in _ARCHIVE_PARAMETERS:
                    continue
                if "url" in key and value.startswith("//"):  # the parser takes only absolute URLs for links
                    yield value, inside, name
                yield from _walk(parameter.value, inside, name)
        elif isinstance(node, Tag):
            is_ref = str(node.tag).strip().lower() == "ref"
            has_name = any(str(attribute.name).strip().lower() == "name" for attribute in node.attributes)
            own = CitationKind.NAMED_REF if has_name else CitationKind.REF
            yield from _walk(node.contents, own if is_ref else kind, "" if is_ref else template)
        elif isinstance(node, Wikilink):
            yield from _walk(node.text, kind, template)
        elif isinstance(node, Heading):
            yield from _walk(node.title, kind, template)
        elif isinstance(node, Argument):
            yield from _walk(node.default, kind, template)
