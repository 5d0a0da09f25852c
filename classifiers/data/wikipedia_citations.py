"""The URLs that an article of Wikipedia cites, and what kind of citation each is, in time linear in its length.

A parser that tries every opener as markup, and goes back where none closes it, reads what follows once for each:
mwparserfromhell takes four times as long for twice as many unclosed templates. Here openers and closers are matched
first, with one stack; those without a partner are text. Both find the same citations in well-formed wikitext, in a
third of the time (`tests/classifiers/data/test_wikipedia_citations.py`).
"""

from __future__ import annotations

import html
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from classifiers.urls import normalize_url

_URL = re.compile(r"(?:https?:)?//[^\s<>\[\]{}|\"]+", re.IGNORECASE)
_ARCHIVED = re.compile(
    r"(?:https?:)?//(?:web|liveweb)\.archive\.org/(?:web/)?\d{4,14}(?:[a-z]{2}_|\*)?/(.+)", re.IGNORECASE
)
# Template parameters with an archived version of the page that another parameter cites.
_ARCHIVE_PARAMETERS = frozenset({"archive-url", "archiveurl", "archive_url", "archivio", "urlarchivio", "archiv-url"})
# Tags whose content is no wikitext; the list of mwparserfromhell.
_RAW_TAGS = (
    "categorytree|ce|chem|gallery|graph|hiero|imagemap|inputbox|math|nowiki|pre|score|section|source|"
    "syntaxhighlight|templatedata|timeline"
)
# A link without a scheme is one only in brackets. Braces: longer runs than this are read as several.
_TOKEN = re.compile(
    rf"(?P<comment><!--)|(?P<raw><(?P<tag>{_RAW_TAGS})(?=[\s/>])[^<>]*>)|(?P<ref><ref(?=[\s/>])[^<>]*>)"
    r"|(?P<end_ref></ref\s*>)|(?P<braces>\{{2,40})|(?P<end_braces>\}{2,40})|(?P<link>\[\[)|(?P<end_link>\]\])"
    r"|(?P<pipe>\|)|(?P<url>(?:(?<![a-z0-9+.-])https?:|(?<=(?<!\[)\[))//[^\s<>\[\]{}|\"]+)",
    re.IGNORECASE,
)
_NAME_ATTRIBUTE = re.compile(r"[\s\"']name\s*=", re.IGNORECASE)
_TEMPLATE_NAME = re.compile(r"[^|{}\[\]<>]*")
_KEY = re.compile(r"\s*+([^|=\[\]{}<>]*+)=\s*+(//[^\s<>\[\]{}|\"]++)?")
MAX_URL = 4096  # characters; a longer one is in no index
_OPENER_OF = {"end_ref": "ref", "end_braces": "braces", "end_link": "link"}


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


def citations(article: str, wikitext: str) -> Iterator[Citation]:
    """The URLs that one article cites, in order, once for each kind."""
    seen: set[tuple[str, CitationKind]] = set()
    for raw, kind, template in _links(wikitext):
        url = clean_url(raw)
        if url and (url, kind) not in seen:
            seen.add((url, kind))
            yield Citation(article, url, normalize_url(url), kind, template)


def clean_url(raw: str) -> str:
    """The URL with entities decoded, a scheme, no trailing punctuation; for an archived page, the original URL."""
    found = _URL.match(html.unescape(raw.strip()))
    if not found or len(found.group()) > MAX_URL:
        return ""
    url = found.group().rstrip(".,;:!?'")
    if url.endswith(")") and "(" not in url:
        url = url.rstrip(")")
    archived = _ARCHIVED.fullmatch(url)
    if archived:
        url = archived.group(1) if "//" in archived.group(1)[:8] else f"http://{archived.group(1)}"
    return url if url.lower().startswith("http") else f"https:{url}"


class _Place(NamedTuple):
    """What is around a position in the wikitext."""

    kind: CitationKind = CitationKind.EXTERNAL_LINK
    template: str = ""  # the innermost one, inside of the innermost reference
    has_parameters: bool = False  # directly in a template: a pipe begins its next parameter
    is_cited: bool = True  # neither in a template's name nor in a parameter for an archived version
    is_cited_outside: bool = True  # the same of what is around the template


def _links(wikitext: str) -> Iterator[tuple[str, CitationKind, str]]:
    """Every URL with its kind and template."""
    tokens = _Tokens(wikitext)
    opens, closes = _match(tokens.kinds, tokens.starts, tokens.ends)
    outer: list[_Place] = []
    here = _Place()
    for kind, start, end, opened, closed in zip(tokens.kinds, tokens.starts, tokens.ends, opens, closes, strict=True):
        for _ in range(closed):
            here = outer.pop()
        for markup in reversed(opened):
            outer.append(here)
            here = _enter(here, markup, wikitext, start, end)
        if kind == "url" and here.is_cited:
            yield wikitext[start:end], here.kind, here.template
        elif kind == "pipe" and here.has_parameters:
            key = _KEY.match(wikitext, end)
            name = key.group(1).strip().lower() if key else ""
            here = here._replace(is_cited=here.is_cited_outside and name not in _ARCHIVE_PARAMETERS)
            if key and key.group(2) and "url" in name and here.is_cited:
                yield key.group(2), here.kind, here.template


def _enter(here: _Place, markup: str, wikitext: str, start: int, end: int) -> _Place:
    """What is around the content of a reference ("r"), template ("2"), argument ("3") or link ("l")."""
    if markup == "r":
        named = _NAME_ATTRIBUTE.search(wikitext, start, end)
        return here._replace(
            kind=CitationKind.NAMED_REF if named else CitationKind.REF, template="", has_parameters=False
        )
    if markup != "2":
        return here._replace(has_parameters=False)
    name = _TEMPLATE_NAME.match(wikitext, end)
    kind = CitationKind.TEMPLATE if here.kind is CitationKind.EXTERNAL_LINK else here.kind
    return _Place(kind, name.group().strip().lower() if name else "", True, False, here.is_cited)


class _Tokens:
    """What may open, close or separate markup, and URLs; not in comments, nor in tags that hold no wikitext."""

    def __init__(self, wikitext: str) -> None:
        self.kinds: list[str] = []
        self.starts, self.ends = array("l"), array("l")
        position, never_closed = 0, set[str]()
        while found := _TOKEN.search(wikitext, position):
            kind, position = str(found.lastgroup), found.end()
            if kind == "comment":
                end = wikitext.find("-->", position)
                position = len(wikitext) if end < 0 else end + 3  # MediaWiki, too, reads on to the end
            elif kind == "raw":
                tag = found.group("tag").lower()
                if tag not in never_closed and not found.group().endswith("/>"):
                    close = re.compile(rf"</{tag}\s*>", re.IGNORECASE).search(wikitext, position)
                    position = close.end() if close else position
                    if not close:
                        never_closed.add(tag)  # else each such tag would search all that follows
            elif kind != "ref" or not found.group().endswith("/>"):
                self.kinds.append(kind)
                self.starts.append(found.start())
                self.ends.append(position)


def _match(kinds: Sequence[str], starts: Sequence[int], ends: Sequence[int]) -> tuple[list[str], list[int]]:
    """By token: what it opens, the innermost first, as letters for `_enter`; and how many of these it closes.

    A closer belongs to the nearest opener of its kind; openers in between are text. Of braces, three by three belong
    together, else two by two, as in MediaWiki.
    """
    opens, closes = [""] * len(kinds), [0] * len(kinds)
    waiting: list[tuple[str, int]] = []  # kind and number of openers without a partner
    left = Counter[str]()  # by kind
    braces = {}  # number of a token -> braces without a partner

    def nearest(kind: str) -> int:
        while waiting[-1][0] != kind:
            left[waiting.pop()[0]] -= 1
        return waiting[-1][1]

    def drop() -> None:
        left[waiting.pop()[0]] -= 1

    for number, kind in enumerate(kinds):
        if kind in ("braces", "ref", "link"):
            waiting.append((kind, number))
            left[kind] += 1
            if kind == "braces":
                braces[number] = ends[number] - starts[number]
        elif kind == "end_braces":
            closing = ends[number] - starts[number]
            while closing >= 2 and left["braces"]:
                opener = nearest("braces")
                size = 3 if min(braces[opener], closing) >= 3 else 2
                opens[opener] += str(size)
                closes[number] += 1
                braces[opener] -= size
                closing -= size
                if braces[opener] < 2:
                    drop()
        elif kind in _OPENER_OF and left[_OPENER_OF[kind]]:
            opener = nearest(_OPENER_OF[kind])
            opens[opener] = kind.removeprefix("end_")[0]
            closes[number] = 1
            drop()
    return opens, closes
