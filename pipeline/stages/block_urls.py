"""Pages that are out because of where they come from: lists of hosts and URLs, words in the URL, sources kept apart.

The first rule that matches decides, in this order: registered domain, host, URL, hard word, soft words, banned
substring, curated source. Words are the runs of letters and digits of the URL; substrings are looked for in the URL
with everything else taken out, which also finds what hyphens and dots pull apart. The order and the word rules are
those of datatrove's URL filter; the lists that ship are our own and small, since every entry must be hard to argue
with. For a crawl, name the UT1 lists as well: RedPajama-v2's choice of categories is the default.

Curated sources (Wikipedia, arXiv, ...) can be left out, so that better extractions of them can be added separately;
RefinedWeb does that, DCLM does not, and here it is off unless lists are named (`curated_sources.txt` ships).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from pydantic import Field

from classifiers.urls import normalize_url
from pipeline.documents import Dropped, Page
from pipeline.lists.blocklists import SHIPPED, HashTable, locate, read_hosts, read_urls, read_ut1, read_words, ut1_files
from pipeline.settings import ListFile, Settings

NAME = "block_urls"
SIGNALS: tuple[str, ...] = ()
_RPV2_CATEGORIES = (
    "adult",
    "agressif",
    "arjel",
    "chat",
    "dating",
    "ddos",
    "filehosting",
    "gambling",
    "mixed_adult",
    "phishing",
)


class Ut1(ListFile):
    """A UT1 folder or archive. Categories: RedPajama-v2's, as far as UT1 still has them (porn is an alias of adult)."""

    categories: tuple[str, ...] = Field(default=_RPV2_CATEGORIES, min_length=1)


def _shipped(name: str) -> tuple[ListFile, ...]:
    return (ListFile(path=SHIPPED / name),)  # whatever files of that name lie where the user stands


class BlockUrlsSettings(Settings):
    """A list is a file, by path or by the name of one that ships in pipeline/lists; an empty tuple turns a rule off."""

    hosts: tuple[ListFile, ...] = _shipped("hosts.txt")  # a host covers the hosts below it
    urls: tuple[ListFile, ...] = ()  # exact, up to scheme, www., tracking parameters and the like
    ut1: tuple[Ut1, ...] = ()  # its URLs cover what lies below them, as squidGuard reads them
    hard_words: tuple[ListFile, ...] = _shipped("hard_words.txt")
    soft_words: tuple[ListFile, ...] = _shipped("soft_words.txt")
    min_soft_words: int = Field(default=2, ge=1)  # different ones; datatrove
    banned_substrings: tuple[ListFile, ...] = _shipped("banned_substrings.txt")
    allowed_hosts: tuple[ListFile, ...] = ()  # never blocked by any rule, to correct a list without editing it
    excluded_sources: tuple[ListFile, ...] = ()


class Reason(StrEnum):
    REGISTERED_DOMAIN = "registered_domain"
    HOST = "host"
    URL = "url"
    HARD_WORD = "hard_word"
    SOFT_WORDS = "soft_words"
    BANNED_SUBSTRING = "banned_substring"
    CURATED_SOURCE = "curated_source"


def files(settings: BlockUrlsSettings) -> list[Path]:
    lists = (
        *settings.hosts,
        *settings.urls,
        *settings.hard_words,
        *settings.soft_words,
        *settings.banned_substrings,
        *settings.allowed_hosts,
        *settings.excluded_sources,
    )
    return [*map(locate, lists), *(file for ut1 in settings.ut1 for file in ut1_files(ut1, ut1.categories))]


def build(settings: BlockUrlsSettings) -> Callable[[Page], Page | Dropped]:
    rules = _Rules(settings)
    return rules.judge


class _Rules:
    def __init__(self, settings: BlockUrlsSettings) -> None:
        ut1_hosts = (read_ut1(ut1, ut1.categories, "domains") for ut1 in settings.ut1)
        ut1_urls = (read_ut1(ut1, ut1.categories, "urls") for ut1 in settings.ut1)
        self._hosts = HashTable(chain.from_iterable([*map(read_hosts, settings.hosts), *ut1_hosts]))
        self._urls = HashTable(chain.from_iterable(map(read_urls, settings.urls)))
        self._folders = HashTable(chain.from_iterable(ut1_urls))
        self._hard = _words(settings.hard_words)
        self._soft = _words(settings.soft_words)
        self._min_soft = settings.min_soft_words
        banned = sorted(_words(settings.banned_substrings))
        self._banned = re.compile("|".join(banned)) if banned else None
        self._allowed = HashTable(chain.from_iterable(map(read_hosts, settings.allowed_hosts)))
        self._curated = HashTable(chain.from_iterable(map(read_hosts, settings.excluded_sources)))

    def judge(self, page: Page) -> Page | Dropped:
        names = list(_host_and_parents(page))
        if any(map(self._allowed.find, names)):
            return page
        return self._by_place(page, names) or self._by_words(page) or self._by_source(page, names) or page

    def _by_place(self, page: Page, names: list[str]) -> Dropped | None:
        for name in reversed(names):  # the registered domain first
            if found := self._hosts.find(name):
                reason = Reason.REGISTERED_DOMAIN if name == page.registered_domain else Reason.HOST
                return Dropped(page, NAME, reason, detail=f"{name} ({found})")
        key = normalize_url(page.url)
        if found := self._urls.find(key):
            return Dropped(page, NAME, Reason.URL, detail=f"{key[:200]} ({found})")
        for folder in _url_and_folders(key):
            if found := self._folders.find(folder):
                return Dropped(page, NAME, Reason.URL, detail=f"{folder[:200]} ({found})")
        return None

    def _by_words(self, page: Page) -> Dropped | None:
        url = unquote(page.url).lower()
        words = re.findall(r"[a-z0-9]+", url)
        hard = next((word for word in words if word in self._hard), None)
        if hard:
            return Dropped(page, NAME, Reason.HARD_WORD, detail=hard)
        soft = list(dict.fromkeys(word for word in words if word in self._soft))
        if len(soft) >= self._min_soft:
            return Dropped(page, NAME, Reason.SOFT_WORDS, len(soft), self._min_soft, detail=" ".join(soft)[:200])
        banned = self._banned.search("".join(words)) if self._banned else None
        return Dropped(page, NAME, Reason.BANNED_SUBSTRING, detail=banned[0]) if banned else None

    def _by_source(self, page: Page, names: list[str]) -> Dropped | None:
        found = next((name for name in reversed(names) if self._curated.find(name)), None)
        return Dropped(page, NAME, Reason.CURATED_SOURCE, detail=found) if found else None


def _words(lists: tuple[ListFile, ...]) -> frozenset[str]:
    return frozenset(chain.from_iterable(map(read_words, lists)))


def _host_and_parents(page: Page) -> Iterator[str]:
    """a.b.example.co.uk, b.example.co.uk, example.co.uk: never the public suffix."""
    host = page.host.removeprefix("www.")
    while host != page.registered_domain and "." in host and host.endswith(f".{page.registered_domain}"):
        yield host
        host = host.partition(".")[2]
    yield page.registered_domain or host


def _url_and_folders(key: str) -> Iterator[str]:
    """host/a/b?q, host/a/b, host/a: not the host alone, that is what lists of hosts are for."""
    yield key
    path = key.partition("?")[0]
    while "/" in path:
        if path != key:
            yield path
        path = path.rpartition("/")[0]
