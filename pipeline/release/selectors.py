"""What a request for removal names: URLs, prefixes, hosts, registered domains, document ids, texts.

A list is a file with one selector a line: its kind, white space, and the value; a line that is a URL alone is of the
kind url; `#` begins a comment.

    domain  example.org
    prefix  https://example.com/people/
    https://example.net/page.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.urls import host_of, registered_domain_of
from pipeline import storage
from pipeline.deduplication.minhash import shingle_hashes
from pipeline.errors import UserError
from pipeline.lists.suppressions import (
    MIN_WORDS,
    NEAR,
    SelectorKind,
    Suppression,
    SuppressionList,
    suppress_text,
    suppress_value,
)
from pipeline.text import tokenize

_LONGEST_LINE = 1_000_000  # characters


@dataclass(frozen=True, slots=True)
class Selector:
    """One thing that a request names."""

    kind: SelectorKind
    value: str

    def to_suppression(self) -> Suppression:
        """The entry of the suppression list."""
        if self.kind is SelectorKind.TEXT:
            return suppress_text(shingle_hashes(tokenize(self.value)))
        return suppress_value(self.kind, self.value)


def make_selector(kind: str, value: str) -> Selector:
    """A selector whose value was checked. Raises UserError for one that would fit nothing, or everything."""
    value = value.strip()
    found = Selector(SelectorKind(kind), value)
    problem = _PROBLEMS[found.kind](value)
    if problem:
        raise UserError(f"--{kind} {value[:60]}: {problem}")
    return found


def _check_url(value: str) -> str:
    return "" if host_of(value if "://" in value else f"https://{value}") else "expected a URL"


def _check_domain(value: str) -> str:
    domain = registered_domain_of(value.lower())
    return "" if domain == value.lower() and "." in value else "expected a registered domain, such as example.org"


def _check_host(value: str) -> str:
    return "" if "." in value and host_of(f"https://{value}") else "expected a host name, such as blog.example.org"


def _check_id(value: str) -> str:
    is_id = len(value) == 32 and all(character in "0123456789abcdef" for character in value)
    return "" if is_id else "expected a document id of 32 hexadecimal digits"


def _check_text(value: str) -> str:
    words = len(tokenize(value))
    return "" if words >= MIN_WORDS else f"a text needs at least {MIN_WORDS} words, this has {words}"


_PROBLEMS = {
    SelectorKind.URL: _check_url,
    SelectorKind.PREFIX: _check_url,
    SelectorKind.HOST: _check_host,
    SelectorKind.DOMAIN: _check_domain,
    SelectorKind.ID: _check_id,
    SelectorKind.TEXT: _check_text,
}


def read_list(path: str) -> Iterator[Selector]:
    """The selectors of a file. Raises UserError with the number of a line that is none."""
    text = storage.read_bytes(path).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        first, _, rest = content[:_LONGEST_LINE].partition(" ")
        kind, value = ("url", content) if "://" in first else (first.rstrip(":").lower(), rest)
        try:
            yield make_selector(kind, value)
        except ValueError:
            kinds = ", ".join(SelectorKind)
            raise UserError(f"{path}, line {number}: expected one of {kinds}, a space and a value") from None
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None


@dataclass(frozen=True)
class Request:
    """Everything that one call of `gristmill remove` asks for."""

    selectors: tuple[Selector, ...]

    @cached_property
    def suppressions(self) -> SuppressionList:
        return SuppressionList().plus(selector.to_suppression() for selector in self.selectors)

    @cached_property
    def _without_texts(self) -> SuppressionList:
        entries = self.suppressions.entries
        return SuppressionList(tuple(entry for entry in entries if entry.kind is not SelectorKind.TEXT))

    @property
    def has_texts(self) -> bool:
        return bool(self.suppressions.texts)

    def find_ids(self, rows: pa.Table, texts: Sequence[str]) -> dict[str, SelectorKind]:
        """The ids of the rows that fit, each with the kind of selector that it fits; `texts` are columns of text."""
        found: dict[str, SelectorKind] = {}
        for row in rows.to_pylist():
            kind = self._fit(row, texts)
            if kind:
                found[row["id"]] = kind
        return found

    def _fit(self, row: Mapping[str, Any], texts: Sequence[str]) -> SelectorKind | None:
        if self._without_texts.entries:
            places = (row["url"] or "", row["host"] or "", row["registered_domain"] or "")
            if kind := self._without_texts.find_page(*places, row["id"]):
                return kind
        if self.has_texts and any(self._holds_text(row[name]) for name in texts):
            return SelectorKind.TEXT
        return None

    def _holds_text(self, text: str | None) -> bool:
        """Whether a text contains one of the request's, or is the beginning of one, as an excerpt may be."""
        words = tokenize(text or "")
        hashes = shingle_hashes(words)
        if not len(hashes):
            return False
        return self.suppressions.find_text(hashes) or (len(words) >= MIN_WORDS and self._is_part(hashes))

    def _is_part(self, hashes: NDArray[np.uint32]) -> bool:
        return any(float(np.isin(hashes, whole).mean()) >= NEAR for whole in self._texts)

    @cached_property
    def _texts(self) -> list[NDArray[np.uint32]]:
        chosen = (selector for selector in self.selectors if selector.kind is SelectorKind.TEXT)
        return [shingle_hashes(tokenize(selector.value)) for selector in chosen]


def make_request(values: Mapping[str, Iterable[str]], lists: Sequence[str], *, may_be_empty: bool = False) -> Request:
    """The selectors of the command line, by kind, and of list files. Raises UserError where there is none."""
    given = [make_selector(kind, value) for kind, items in values.items() for value in items]
    found = {*given, *(selector for path in lists for selector in read_list(path))}
    if not found and not may_be_empty:
        raise UserError("name what to remove: --url, --prefix, --host, --domain, --id, --text or --list FILE")
    return Request(tuple(sorted(found, key=lambda selector: (selector.kind, selector.value))))
