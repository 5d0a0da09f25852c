"""Cited URLs joined with Common Crawl's columnar index: where in which WARC file the cited pages lie.

The index is Parquet, a few hundred files of ten million rows a crawl. Row groups stream through; a row is kept when its
host is cited (a vectorised test that leaves a few in a hundred) and then when its whole normalised URL is, which is
looked up in a sorted table of 64-bit hashes: 38 million cited URLs take 0.3 GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from classifiers.urls import host_of, normalise_url

NEEDED = ("url", "warc_filename", "warc_record_offset", "warc_record_length")
HTML = ("text/html", "application/xhtml+xml")
# The names that the index uses and that `gristmill curate` reads byte ranges by.
SCHEMA = pa.schema(
    [("warc_filename", pa.string()), ("warc_record_offset", pa.int64()), ("warc_record_length", pa.int64()),
     ("url", pa.string()), ("match", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class CitedKeys:
    """Hashes of the cited pages' normalised URLs, sorted, and their hosts."""

    pages: NDArray[np.uint64]
    hosts: pa.Array

    @classmethod
    def of(cls, urls: Iterable[str]) -> CitedKeys:
        hashes: list[int] = []
        hosts: set[str] = set()
        for url in urls:
            hashes.append(_hash(normalise_url(url)))
            hosts.add(host_of(url))
        spellings = {other for host in hosts if host for other in (host.removeprefix("www."), f"www.{_bare(host)}")}
        return cls(np.unique(np.array(hashes, dtype=np.uint64)), pa.array(sorted(spellings), pa.string()))

    def has_page(self, url: str) -> bool:
        key = np.uint64(_hash(normalise_url(url)))
        place = int(np.searchsorted(self.pages, key))
        return place < len(self.pages) and bool(self.pages[place] == key)


def _bare(host: str) -> str:
    return host.removeprefix("www.")


def _hash(key: str) -> int:
    return xxhash.xxh3_64_intdigest(key.encode())


def locate(files: Sequence[Path], cited: CitedKeys, by_host: bool = False) -> Iterator[pa.RecordBatch]:
    """Batches of SCHEMA: the records whose page (or, `by_host`, whose host) is cited; successful HTML captures only."""
    for file in files:
        parquet = pq.ParquetFile(file)
        missing = [name for name in NEEDED if name not in parquet.schema_arrow.names]
        if missing:
            raise ValueError(
                f"{file} lacks the column(s) {', '.join(missing)}: give files of Common Crawl's columnar index "
                "(cc-index/table/cc-main/warc/crawl=.../subset=warc/*.parquet)"
            )
        optional = [
            n for n in ("url_host_name", "fetch_status", "content_mime_detected") if n in parquet.schema_arrow.names
        ]
        for batch in parquet.iter_batches(batch_size=65_536, columns=[*NEEDED, *optional]):
            found = _matches(_usable(batch), cited, by_host)
            if found.num_rows:
                yield found


def _usable(batch: pa.RecordBatch) -> pa.RecordBatch:
    if "fetch_status" in batch.schema.names:
        batch = batch.filter(pc.equal(batch["fetch_status"], 200))
    if "content_mime_detected" in batch.schema.names:
        batch = batch.filter(pc.is_in(batch["content_mime_detected"], pa.array(HTML)))
    return batch


def _matches(batch: pa.RecordBatch, cited: CitedKeys, by_host: bool) -> pa.RecordBatch:
    if "url_host_name" in batch.schema.names:
        hosts = batch["url_host_name"]
    else:
        hosts = pa.array([host_of(url) for url in batch["url"].to_pylist()], pa.string())
    batch = batch.filter(pc.is_in(hosts, cited.hosts))
    urls = batch["url"].to_pylist()
    match = ["exact" if cited.has_page(url) else "host" if by_host else None for url in urls]
    table = pa.RecordBatch.from_arrays(
        [batch["warc_filename"].cast(pa.string()), batch["warc_record_offset"].cast(pa.int64()),
         batch["warc_record_length"].cast(pa.int64()), pa.array(urls, pa.string()), pa.array(match, pa.string())],
        schema=SCHEMA,
    )  # fmt: skip
    return table.filter(pc.is_valid(table["match"]))
