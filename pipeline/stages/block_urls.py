"""block_urls: drop pages by their URL: lists of hosts and URLs, words in the URL, curated sources.

The first rule that matches decides, in this order: registered domain, host, URL, hard word, soft words, banned
substring, curated source. Words are the runs of letters and digits of the URL. Substrings are searched in the URL
with only its letters and digits left, so that words split by hyphens or dots are found as well. The order and the word
rules are those of datatrove's URL filter. The lists in this package are small, with entries that hardly ever block a
page by mistake. For a crawl, name the UT1 lists as well; RedPajama-v2's choice of categories is the default. The hosts
that annotations of Common Crawl's index mark as spam, phishing, ... are further lists of hosts.

Curated sources (Wikipedia, arXiv, ...) can be dropped, so that better extractions of them can be added separately.
RefinedWeb does that, DCLM does not; here it is off unless lists are named (`curated_sources.txt` ships).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from pydantic import Field

from classifiers.urls import normalize_url, strip_www
from pipeline.documents import Dropped, Page
from pipeline.lists.annotations import Annotation, read_annotation
from pipeline.lists.blocklists import SHIPPED, HashTable, locate, read_hosts, read_urls, read_ut1, read_words, ut1_files
from pipeline.settings import ListFile, Settings

NAME = "block_urls"
SIGNALS: tuple[str, ...] = ()
_RPV2_CATEGORIES = (  # as far as UT1 still has them: porn is an alias of adult
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
    """A UT1 folder or archive."""

    categories: tuple[str, ...] = Field(
        _RPV2_CATEGORIES, min_length=1, description="UT1 categories to block; the default is RedPajama-v2's choice"
    )


def _shipped_list(name: str) -> tuple[ListFile, ...]:
    return (ListFile(path=SHIPPED / name),)  # the full path: else a file of that name in the current directory is read


class BlockUrlsSettings(Settings):
    """A list is a file, by path or by the name of one that ships in pipeline/lists. An empty tuple turns a rule off."""

    hosts: tuple[ListFile, ...] = Field(
        _shipped_list("hosts.txt"), description="lists of hosts to block, with all hosts below them"
    )
    urls: tuple[ListFile, ...] = Field(
        (), description="lists of URLs to block; scheme, www. and tracking parameters are ignored"
    )
    ut1: tuple[Ut1, ...] = Field(
        (), description="UT1 folders or archives; their URLs block everything below them, as in squidGuard"
    )
    annotations: tuple[Annotation, ...] = Field(
        (),
        description="annotations of Common Crawl's index, such as spam-abuse.parquet, whose marked hosts are blocked",
    )
    hard_words: tuple[ListFile, ...] = Field(
        _shipped_list("hard_words.txt"), description="lists of words of which one in the URL is enough"
    )
    soft_words: tuple[ListFile, ...] = Field(
        _shipped_list("soft_words.txt"), description="lists of words of which min_soft_words in the URL are enough"
    )
    min_soft_words: int = Field(2, ge=1, description="different soft words that block a URL; datatrove has 2")
    banned_substrings: tuple[ListFile, ...] = Field(
        _shipped_list("banned_substrings.txt"), description="lists of strings that block a URL anywhere in it"
    )
    allowed_hosts: tuple[ListFile, ...] = Field(
        (), description="lists of hosts that no rule blocks, to correct a list without editing it"
    )
    excluded_sources: tuple[ListFile, ...] = Field(
        (), description="lists of hosts of curated sources to leave out, such as curated_sources.txt"
    )


class BlockUrlsReason(StrEnum):
    """The rule that matched."""

    REGISTERED_DOMAIN = "registered_domain"
    HOST = "host"
    URL = "url"
    HARD_WORD = "hard_word"
    SOFT_WORDS = "soft_words"
    BANNED_SUBSTRING = "banned_substring"
    CURATED_SOURCE = "curated_source"


REASONS = BlockUrlsReason


def files(settings: BlockUrlsSettings) -> list[Path | str]:
    """The files of all lists in these settings."""
    lists = (
        *settings.hosts,
        *settings.urls,
        *settings.hard_words,
        *settings.soft_words,
        *settings.banned_substrings,
        *settings.allowed_hosts,
        *settings.excluded_sources,
    )
    of_ut1 = (file for ut1 in settings.ut1 for file in ut1_files(ut1, ut1.categories))
    return [*map(locate, lists), *of_ut1, *(annotation.path for annotation in settings.annotations)]


def build(settings: BlockUrlsSettings) -> Callable[[Page], Page | Dropped]:
    """Read the lists. Raises ListError for one that is missing or damaged."""
    rules = _Rules(settings)

    def block_urls(page: Page) -> Page | Dropped:
        return rules.find_drop(page) or page

    return block_urls


class _Rules:
    """The lists in memory, and the rules that match a page with them."""

    def __init__(self, settings: BlockUrlsSettings) -> None:
        ut1_hosts = (read_ut1(ut1, ut1.categories, "domains") for ut1 in settings.ut1)
        ut1_urls = (read_ut1(ut1, ut1.categories, "urls") for ut1 in settings.ut1)
        marked = map(read_annotation, settings.annotations)
        self._hosts = HashTable(chain.from_iterable([*map(read_hosts, settings.hosts), *ut1_hosts, *marked]))
        self._urls = HashTable(chain.from_iterable(map(read_urls, settings.urls)))
        self._folders = HashTable(chain.from_iterable(ut1_urls))
        self._hard = _read_word_set(settings.hard_words)
        self._soft = _read_word_set(settings.soft_words)
        self._min_soft = settings.min_soft_words
        banned = sorted(_read_word_set(settings.banned_substrings))
        self._banned = re.compile("|".join(banned)) if banned else None
        self._allowed = HashTable(chain.from_iterable(map(read_hosts, settings.allowed_hosts)))
        self._curated = HashTable(chain.from_iterable(map(read_hosts, settings.excluded_sources)))

    def find_drop(self, page: Page) -> Dropped | None:
        if not page.host:  # a document without a URL: the name of its file says nothing
            return None
        names = list(_host_and_parents(page))
        if any(map(self._allowed.find, names)):
            return None
        return self._match_lists(page, names) or self._match_words(page) or self._match_curated(page, names)

    def _match_lists(self, page: Page, names: list[str]) -> Dropped | None:
        for name in reversed(names):  # the registered domain first
            if found := self._hosts.find(name):
                reason = BlockUrlsReason.REGISTERED_DOMAIN if name == page.registered_domain else BlockUrlsReason.HOST
                return Dropped(page, NAME, reason, detail=f"{name} ({found})")
        key = normalize_url(page.url)
        if found := self._urls.find(key):
            return Dropped(page, NAME, BlockUrlsReason.URL, detail=f"{key[:200]} ({found})")
        for folder in _url_and_folders(key):
            if found := self._folders.find(folder):
                return Dropped(page, NAME, BlockUrlsReason.URL, detail=f"{folder[:200]} ({found})")
        return None

    def _match_words(self, page: Page) -> Dropped | None:
        url = unquote(page.url).lower()
        words = re.findall(r"[a-z0-9]+", url)
        hard = next((word for word in words if word in self._hard), None)
        if hard:
            return Dropped(page, NAME, BlockUrlsReason.HARD_WORD, detail=hard)
        soft = list(dict.fromkeys(word for word in words if word in self._soft))
        if len(soft) >= self._min_soft:
            return Dropped(
                page, NAME, BlockUrlsReason.SOFT_WORDS, len(soft), self._min_soft, detail=" ".join(soft)[:200]
            )
        banned = self._banned.search("".join(words)) if self._banned else None
        return Dropped(page, NAME, BlockUrlsReason.BANNED_SUBSTRING, detail=banned[0]) if banned else None

    def _match_curated(self, page: Page, names: list[str]) -> Dropped | None:
        found = next((name for name in reversed(names) if self._curated.find(name)), None)
        return Dropped(page, NAME, BlockUrlsReason.CURATED_SOURCE, detail=found) if found else None


def _read_word_set(lists: tuple[ListFile, ...]) -> frozenset[str]:
    return frozenset(chain.from_iterable(map(read_words, lists)))


def _host_and_parents(page: Page) -> Iterator[str]:
    """a.b.example.co.uk, b.example.co.uk, example.co.uk: never the public suffix."""
    host = strip_www(page.host)
    while host != page.registered_domain and "." in host and host.endswith(f".{page.registered_domain}"):
        yield host
        host = host.partition(".")[2]
    yield page.registered_domain or host


def _url_and_folders(key: str) -> Iterator[str]:
    """host/a/b?q, host/a/b, host/a. Not the host alone: lists of hosts are for that."""
    yield key
    path = key.partition("?")[0]
    while "/" in path:
        if path != key:
            yield path
        path = path.rpartition("/")[0]
