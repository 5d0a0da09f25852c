"""The suppression list: pages that were removed and must not come back, as hashes; nothing that was removed is in it.

    url, host, domain, id    BLAKE2b of the kind and the value (a URL in its normal form)
    prefix                   the same of a URL's first characters (normalize_prefix), with their number
    text                     the smallest hashes of the word 5-grams of the text: a text that contains most of them is
                             a copy, also if it was changed here and there or has other text around it

`gristmill remove` writes it, the stage `suppress` reads it. Whoever has a URL can ask whether it is on the list; nobody
can read the URLs from it. A text of a few words could be guessed, so a text needs `MIN_WORDS`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.urls import host_of, normalize_prefix, normalize_url, strip_www
from pipeline import storage
from pipeline.errors import UserError

FORMAT = 2  # 1 had another spelling of prefixes; its other entries are the same
FILE = "suppressions.json"  # beside manifest.json, or beside latest.json for all snapshots of a folder
MIN_WORDS = 12  # of a text; shorter ones are phrases that innocent pages have as well
SAMPLE = 256  # hashes of a text
_ROLE = "suppression list"  # in messages: a run reads that of its folder, too, which no setting names
NEAR = 0.8  # share of the sample that a copy has


class OldPrefixesError(ValueError):
    """A list of format 1 with prefixes: passed over in silence, their pages would come back."""


class SelectorKind(StrEnum):
    """How removed pages are named."""

    URL = "url"
    PREFIX = "prefix"
    HOST = "host"
    DOMAIN = "domain"
    ID = "id"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Suppression:
    """One entry of the list."""

    kind: SelectorKind
    digest: str  # 32 hex digits
    length: int = 0  # characters of a prefix
    shingles: tuple[int, ...] = ()  # of a text: its smallest 5-gram hashes, ascending


def digest_of(kind: SelectorKind, value: str) -> str:
    """32 hex digits for a value of a kind."""
    return blake2b(f"{kind}\0{value}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def suppress_value(kind: SelectorKind, value: str) -> Suppression:
    """The entry for a URL, prefix, host, domain or id."""
    if kind is SelectorKind.PREFIX:
        key = normalize_prefix(value)
        return Suppression(kind, digest_of(kind, key), len(key))
    return Suppression(kind, digest_of(kind, normal_value(kind, value)))


def suppress_text(shingles: NDArray[np.uint32]) -> Suppression:
    """The entry for a text, from the hashes of its word 5-grams."""
    sample = tuple(np.unique(shingles)[:SAMPLE].tolist())
    return Suppression(SelectorKind.TEXT, digest_of(SelectorKind.TEXT, json.dumps(sample)), shingles=sample)


def normal_value(kind: SelectorKind, value: str) -> str:
    """The spelling in which values of a kind are compared."""
    if kind is SelectorKind.URL:
        return normalize_url(value)
    return strip_www(host_of(f"https://{value.strip()}")) if kind in _OF_SITES else value


def holds_text(suppression: Suppression, shingles: NDArray[np.uint32]) -> bool:
    """Whether a text with these 5-gram hashes contains the suppressed text, or nearly."""
    sample = np.array(suppression.shingles, np.uint32)
    return bool(len(sample)) and float(np.isin(sample, shingles).mean()) >= NEAR


@dataclass(frozen=True)
class SuppressionList:
    """Entries, and how pages and texts are looked up in them."""

    entries: tuple[Suppression, ...] = ()

    def find_page(self, url: str, host: str, domain: str, identifier: str) -> SelectorKind | None:
        """The kind of the first entry that is for this page; a host's entry is for the hosts below it, too."""
        for kind in self._kinds:
            for value in _values_of(kind, url, host, domain, identifier):
                if value and digest_of(kind, value) in self._digests:
                    return kind
        key = normalize_prefix(url) if self._lengths else ""
        is_below = any(digest_of(SelectorKind.PREFIX, key[:length]) in self._digests for length in self._lengths)
        return SelectorKind.PREFIX if is_below else None

    def find_text(self, shingles: NDArray[np.uint32]) -> bool:
        """Whether a text with these 5-gram hashes is a copy of a suppressed one."""
        return any(holds_text(entry, shingles) for entry in self.texts)

    @cached_property
    def texts(self) -> tuple[Suppression, ...]:
        return tuple(entry for entry in self.entries if entry.kind is SelectorKind.TEXT)

    @cached_property
    def _digests(self) -> frozenset[str]:
        return frozenset(entry.digest for entry in self.entries if entry.kind is not SelectorKind.TEXT)

    @cached_property
    def _kinds(self) -> tuple[SelectorKind, ...]:
        """The kinds of the entries that are looked up whole, cheap ones first."""
        present = {entry.kind for entry in self.entries}
        return tuple(kind for kind in (SelectorKind.ID, *_OF_SITES, SelectorKind.URL) if kind in present)

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        return tuple(sorted({entry.length for entry in self.entries if entry.kind is SelectorKind.PREFIX}))

    def plus(self, entries: Iterable[Suppression]) -> SuppressionList:
        """With further entries, each once, in the order of their digests."""
        found = {(entry.kind, entry.digest): entry for entry in (*self.entries, *entries)}
        return SuppressionList(tuple(found[key] for key in sorted(found)))

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {"format": FORMAT, "entries": [_without_blanks(asdict(entry)) for entry in self.entries]}


def _without_blanks(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value}


_OF_SITES = (SelectorKind.DOMAIN, SelectorKind.HOST)


def _values_of(kind: SelectorKind, url: str, host: str, domain: str, identifier: str) -> list[str]:
    """The values of a page that an entry of this kind may have."""
    if kind is SelectorKind.HOST:  # a.b.example.org, b.example.org, example.org
        labels = strip_www(host).split(".")
        return [".".join(labels[n:]) for n in range(len(labels) - 1)]
    if kind is SelectorKind.URL:
        return [normalize_url(url)] if url else []
    return [strip_www(domain) if kind is SelectorKind.DOMAIN else identifier]


def read_suppressions(paths: Sequence[str]) -> SuppressionList:
    """The entries of all files. Raises StorageError for one that cannot be read, UserError for a damaged one."""
    return SuppressionList().plus(entry for path in paths for entry in _read_file(path))


def _read_file(path: str) -> list[Suppression]:
    content = storage.read_named(path, _ROLE)
    try:
        return parse_suppressions(content)
    except OldPrefixesError as error:
        raise UserError(f"{_ROLE} {path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{_ROLE} {path}: not written by gristmill remove, or damaged ({str(error)[:80]}); restore it"
        ) from None


def list_path(root: str) -> str:
    """The suppression list of an output, or of a folder of snapshots."""
    return storage.join(root if storage.is_remote(root) else os.path.abspath(root), FILE)


def parse_suppressions(content: bytes) -> list[Suppression]:
    """The entries of a file's content. Raises ValueError, KeyError or TypeError for another file.

    OldPrefixesError is raised for a list that can be read, but would let pages pass.
    """
    values = json.loads(content)
    if values["format"] not in (1, FORMAT):
        raise ValueError(f"format {values['format']}, this version reads {FORMAT}")
    if values["format"] == 1 and any(entry["kind"] == SelectorKind.PREFIX for entry in values["entries"]):
        raise OldPrefixesError(
            "its prefixes are hashed as an earlier version did (format 1); delete its entries of the kind prefix, and "
            "name these prefixes again by gristmill remove --prefix"
        )
    return [
        Suppression(
            SelectorKind(entry["kind"]), str(entry["digest"]), int(entry.get("length", 0)),
            tuple(np.array(entry.get("shingles", ()), np.uint32).tolist()),
        )
        for entry in values["entries"]
    ]  # fmt: skip
