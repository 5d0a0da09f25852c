"""Finding cited URLs in a small columnar index with the columns of the real one."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifiers.data.cited_urls import Cited
from classifiers.data.common_crawl_index import SCHEMA, locate_cited_pages
from classifiers.errors import UserError

CITED = Cited.of(["https://www.a.example/one?utm_source=w", "http://b.example/two/"])


def index(path: Path, rows: list[tuple[str, str, int, str, int]]) -> Path:
    names = ("url", "url_host_name", "fetch_status", "content_mime_detected", "warc_record_offset")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    table = table.append_column("warc_filename", pa.array([f"crawl-data/{i}.warc.gz" for i in range(len(rows))]))
    table = table.append_column("warc_record_length", pa.array([100 + i for i in range(len(rows))], pa.int32()))
    pq.write_table(table, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return index(
        tmp_path / "part-0.parquet",
        [
            ("http://a.example/one", "a.example", 200, "text/html", 10),
            ("https://www.a.example/one/", "www.a.example", 200, "application/xhtml+xml", 20),
            ("https://a.example/one", "a.example", 404, "text/html", 30),
            ("https://a.example/one", "a.example", 200, "application/pdf", 40),
            ("https://a.example/other", "a.example", 200, "text/html", 50),
            ("https://b.example/two", "b.example", 200, "text/html", 60),
            ("https://c.example/one", "c.example", 200, "text/html", 70),
        ],
    )


def test_cited_pages_become_byte_ranges(file: Path) -> None:
    table = pa.Table.from_batches(locate_cited_pages([file], CITED), SCHEMA)
    assert table.column("warc_record_offset").to_pylist() == [10, 20, 60]
    assert table.column("warc_record_length").to_pylist() == [100, 101, 105]
    assert table.column("warc_filename").to_pylist() == [f"crawl-data/{i}.warc.gz" for i in (0, 1, 5)]
    assert set(table.column("match").to_pylist()) == {"exact"}


def test_other_pages_of_cited_hosts_are_marked_as_weaker(file: Path) -> None:
    table = pa.Table.from_batches(locate_cited_pages([file], CITED, by_host=True), SCHEMA)
    assert table.column("warc_record_offset").to_pylist() == [10, 20, 50, 60]
    assert table.column("match").to_pylist() == ["exact", "exact", "host", "exact"]


def test_an_index_without_host_and_status_still_works(file: Path, tmp_path: Path) -> None:
    table = pq.read_table(file).select(["url", "warc_filename", "warc_record_offset", "warc_record_length"])
    pq.write_table(table, tmp_path / "bare.parquet")
    found = pa.Table.from_batches(locate_cited_pages([tmp_path / "bare.parquet"], CITED), SCHEMA)
    assert found.column("warc_record_offset").to_pylist() == [10, 20, 30, 40, 60]


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["https://a.example"]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"lacks the column.*warc_filename.*columnar index"):
        list(locate_cited_pages([tmp_path / "x.parquet"], CITED))
    (tmp_path / "y.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"y\.parquet is not a readable Parquet file"):
        list(locate_cited_pages([tmp_path / "y.parquet"], CITED))
