"""Finding pages of a finished output: by id, by URL, by URL key; and what a misspelled one may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from classifiers.urls import host_of, normalize_url, registered_domain_of
from pipeline import storage
from pipeline.storage.layout import Layout

SUGGESTIONS = 5
_CANDIDATES = 2_000  # URLs of one site that a misspelled one is compared with


def find_pages(layout: Layout, wanted: str) -> list[dict[str, Any]]:
    """The rows of every capture of this id or URL, `kept` added; shards first, then in order of time."""
    rows = _matching(layout, lambda table: pc.or_(pc.equal(table["id"], wanted), pc.equal(table["url"], wanted)))
    if not rows and "/" in wanted:
        key = normalize_url(wanted if "://" in wanted else f"https://{wanted}")
        host = host_of(f"https://{key}")
        rows = [
            row
            for row in _matching(layout, lambda table: pc.match_substring(table["url"], host))
            if normalize_url(row["url"]) == key
        ]
    return sorted(rows, key=lambda row: (not row["kept"], row["fetched_at"] or ""))


def find_by_id(layout: Layout, wanted: str) -> dict[str, Any] | None:
    """The kept document with this id."""
    found = _matching(layout, lambda table: pc.equal(table["id"], wanted), kinds=("shards",))
    return found[0] if found else None


def copies_of(layout: Layout, survivor: str, limit: int = 10) -> list[dict[str, Any]]:
    """Dropped pages that this document stands for."""
    return _matching(layout, lambda table: pc.equal(table["duplicate_of"], survivor), kinds=("drops",))[:limit]


def similar_urls(layout: Layout, wanted: str) -> list[str]:
    """URLs of the same site that look alike, else of sites whose names do."""
    host = host_of(wanted if "://" in wanted else f"https://{wanted}")
    domain = registered_domain_of(host) or wanted
    near = set()
    for table in _tables(layout, ("url", "host", "registered_domain"), ("shards", "drops")):
        same = table.filter(pc.fill_null(pc.equal(table["registered_domain"], domain), False))
        near.update(same["url"].to_pylist())
        if len(near) > _CANDIDATES:
            break
    if not near:
        hosts: dict[str, str] = {}
        for table in _tables(layout, ("url", "host"), ("shards", "drops")):
            for url, name in zip(table["url"].to_pylist(), table["host"].to_pylist(), strict=True):
                hosts.setdefault(name or "", url)
        return [hosts[name] for name in difflib.get_close_matches(host or wanted, hosts, SUGGESTIONS, 0.6)]
    return difflib.get_close_matches(wanted, sorted(near)[:_CANDIDATES], SUGGESTIONS, 0.4)


def _matching(
    layout: Layout, condition: Callable[[pa.Table], Any], kinds: Sequence[str] = ("shards", "drops")
) -> list[dict[str, Any]]:
    found = []
    for kind in kinds:
        for path in parts(layout, kind):
            with storage.open_parquet(path) as file:
                parquet = pq.ParquetFile(file)
                keys = ["id", "url", *(["duplicate_of"] if kind == "drops" else [])]
                for group in range(parquet.num_row_groups):
                    mask = pc.fill_null(condition(parquet.read_row_group(group, columns=keys)), False)
                    if pc.any(mask).as_py():  # whole rows, text and all, only where there is one
                        rows = parquet.read_row_group(group).filter(mask).to_pylist()
                        found += [{**row, "kept": kind == "shards"} for row in rows]
    return found


def _tables(layout: Layout, columns: Sequence[str], kinds: Sequence[str]) -> Iterator[pa.Table]:
    for kind in kinds:
        for path in parts(layout, kind):
            with storage.open_parquet(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=list(columns)):
                    yield pa.Table.from_batches([batch])


def parts(layout: Layout, kind: str) -> list[str]:
    """The Parquet files of `shards`, `drops` or `sketches`."""
    folder = storage.join(layout.root, kind)
    return [path for path in storage.list_files(folder) if path.endswith(".parquet")]


def place_of(row: Mapping[str, Any]) -> str:
    """Where the capture lies."""
    return f"{row['warc_file']} at byte {row['warc_offset']:,}"
