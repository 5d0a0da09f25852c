"""Find pages of a finished output by id, URL or normalized URL, and suggest URLs for a misspelled one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from classifiers.urls import host_of, normalize_url, registered_domain_of
from pipeline import storage
from pipeline.reading.file_formats import describe_place
from pipeline.storage.layout import Layout

SUGGESTIONS = 5
_CANDIDATES = 2_000  # URLs of one site that a misspelled URL is compared with
_HOSTS = 100_000  # hosts that a misspelled host is compared with

Condition = Callable[[pa.Table], Any]  # table of the key columns -> a Boolean for each row


def find_pages(layout: Layout, wanted: str) -> list[dict[str, Any]]:
    """The rows of every capture of this id or URL, with a column `kept`; kept ones first, then by time."""
    rows = list(_find_rows(layout, lambda table: pc.or_(pc.equal(table["id"], wanted), pc.equal(table["url"], wanted))))
    if not rows and "/" in wanted:
        rows = _find_by_normalized_url(layout, normalize_url(wanted if "://" in wanted else f"https://{wanted}"))
    return sorted(rows, key=lambda row: (not row["kept"], row["fetched_at"] or ""))


def _find_by_normalized_url(layout: Layout, normalized: str) -> list[dict[str, Any]]:
    host = host_of(f"https://{normalized}")
    of_host = _find_rows(layout, lambda table: pc.match_substring(table["url"], host))
    return [row for row in of_host if normalize_url(row["url"]) == normalized]


def find_by_id(layout: Layout, wanted: str) -> dict[str, Any] | None:
    """The kept document with this id."""
    return next(_find_rows(layout, lambda table: pc.equal(table["id"], wanted), kinds=("shards",)), None)


def find_members(layout: Layout, survivor: str, limit: int = 20) -> list[dict[str, Any]]:
    """The rows of duplicates/ of one group, the kept document first, then by similarity; at most `limit`."""
    rows = {}
    for path in parquet_files(layout, "duplicates"):
        for row in _matching_rows(path, ["survivor"], lambda table: pc.equal(table["survivor"], survivor)):
            rows[row["id"], row["url"], row["kept"]] = row
    found = sorted(rows.values(), key=lambda row: (not row["kept"], -(row["similarity"] or 0), row["url"] or ""))
    return found[:limit]


def _find_rows(
    layout: Layout, condition: Condition, kinds: Sequence[str] = ("shards", "drops")
) -> Iterator[dict[str, Any]]:
    for kind in kinds:
        keys = ["id", "url", *(["duplicate_of"] if kind == "drops" else [])]
        for path in parquet_files(layout, kind):
            for row in _matching_rows(path, keys, condition):
                yield {**row, "kept": kind == "shards"}


def _matching_rows(path: str, keys: list[str], condition: Condition) -> Iterator[dict[str, Any]]:
    """Reads the key columns of a file, and whole rows only from row groups with a match."""
    with storage.read_parquet(path) as parquet:
        for group in range(parquet.num_row_groups):
            mask = pc.fill_null(condition(parquet.read_row_group(group, columns=keys)), False)
            if pc.any(mask).as_py():
                yield from parquet.read_row_group(group).filter(mask).to_pylist()


def suggest_urls(layout: Layout, wanted: str) -> list[str]:
    """Similar URLs of the same site; where the site is unknown, one URL of each host with a similar name."""
    host = host_of(wanted if "://" in wanted else f"https://{wanted}")
    of_site = _urls_of_site(layout, registered_domain_of(host) or wanted)
    if of_site:
        return difflib.get_close_matches(wanted, sorted(of_site)[:_CANDIDATES], SUGGESTIONS, 0.4)
    urls = _url_by_host(layout)
    return [urls[name] for name in difflib.get_close_matches(host or wanted, urls, SUGGESTIONS, 0.6)]


def _urls_of_site(layout: Layout, domain: str) -> set[str]:
    found: set[str] = set()
    for table in _read_columns(layout, ("url", "registered_domain")):
        of_site = table.filter(pc.fill_null(pc.equal(table["registered_domain"], domain), False))
        found.update(of_site["url"].to_pylist())
        if len(found) > _CANDIDATES:
            break
    return found


def _url_by_host(layout: Layout) -> dict[str, str]:
    urls: dict[str, str] = {}
    for table in _read_columns(layout, ("url", "host")):
        for url, host in zip(table["url"].to_pylist(), table["host"].to_pylist(), strict=True):
            urls.setdefault(host or "", url)
        if len(urls) > _HOSTS:
            break
    return urls


def _read_columns(layout: Layout, columns: Sequence[str]) -> Iterator[pa.Table]:
    """These columns of all pages, a batch of rows at a time."""
    for kind in ("shards", "drops"):
        for path in parquet_files(layout, kind):
            with storage.read_parquet(path) as parquet:
                for batch in parquet.iter_batches(columns=list(columns)):
                    yield pa.Table.from_batches([batch])


def parquet_files(layout: Layout, kind: str) -> list[str]:
    """The Parquet files of `shards`, `drops` or `sketches`; none where there is no such folder."""
    folder = storage.join(layout.root, kind)
    return [storage.join(folder, name) for name in storage.list_names(folder) if name.endswith(".parquet")]


def place_of(row: Mapping[str, Any]) -> str:
    """Input file and offset of the capture."""
    return describe_place(row["warc_file"], row["warc_offset"])
