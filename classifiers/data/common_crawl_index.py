"""Find cited pages in Common Crawl's columnar index: WARC file, offset and length of each record.

The index of a crawl is a few hundred Parquet files of ten million rows each, read in batches. A row is kept if its host
is cited (a vectorized test that passes a few percent) and then if its normalized URL is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from classifiers.data.cited_urls import Cited
from classifiers.data.tables import open_parquet
from classifiers.errors import UserError
from classifiers.urls import host_of

NEEDED = ("url", "warc_filename", "warc_record_offset", "warc_record_length")
HTML = ("text/html", "application/xhtml+xml")
# Column names of the index; `gristmill curate` reads byte ranges from a file with these columns.
SCHEMA = pa.schema(
    [("warc_filename", pa.string()), ("warc_record_offset", pa.int64()), ("warc_record_length", pa.int64()),
     ("url", pa.string()), ("match", pa.string())]
)  # fmt: skip


def locate_cited_pages(files: Sequence[Path], cited: Cited, by_host: bool = False) -> Iterator[pa.RecordBatch]:
    """Batches of SCHEMA: the records whose page (or, `by_host`, whose host) is cited; successful HTML captures only."""
    hosts = pa.array(sorted({*cited.hosts, *(f"www.{host}" for host in cited.hosts)}), pa.string())
    for file in files:
        with open_parquet(file) as parquet:
            missing = [name for name in NEEDED if name not in parquet.schema_arrow.names]
            if missing:
                raise UserError(
                    f"{file} lacks the column(s) {', '.join(missing)}: give files of Common Crawl's columnar index "
                    "(cc-index/table/cc-main/warc/crawl=.../subset=warc/*.parquet)"
                )
            optional = [
                n for n in ("url_host_name", "fetch_status", "content_mime_detected") if n in parquet.schema_arrow.names
            ]
            for batch in parquet.iter_batches(batch_size=65_536, columns=[*NEEDED, *optional]):
                found = _filter_cited(_filter_usable(batch), cited, hosts, by_host)
                if found.num_rows:
                    yield found


def _filter_usable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Successful captures of HTML pages."""
    if "fetch_status" in batch.schema.names:
        batch = batch.filter(pc.equal(batch["fetch_status"], 200))
    if "content_mime_detected" in batch.schema.names:
        batch = batch.filter(pc.is_in(batch["content_mime_detected"], pa.array(HTML)))
    return batch


def _filter_cited(batch: pa.RecordBatch, cited: Cited, cited_hosts: pa.Array, by_host: bool) -> pa.RecordBatch:
    if "url_host_name" in batch.schema.names:
        hosts = batch["url_host_name"]
    else:
        hosts = pa.array([host_of(url) for url in batch["url"].to_pylist()], pa.string())
    batch = batch.filter(pc.is_in(hosts, cited_hosts))
    urls = batch["url"].to_pylist()
    match = ["exact" if cited.has_page(url) else "host" if by_host else None for url in urls]
    table = pa.RecordBatch.from_arrays(
        [batch["warc_filename"].cast(pa.string()), batch["warc_record_offset"].cast(pa.int64()),
         batch["warc_record_length"].cast(pa.int64()), pa.array(urls, pa.string()), pa.array(match, pa.string())],
        schema=SCHEMA,
    )  # fmt: skip
    return table.filter(pc.is_valid(table["match"]))
