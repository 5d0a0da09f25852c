"""Which files a pattern resolves to, under which names and in which order; every error is one clear line."""

import base64
import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.documents import Dropped
from pipeline.reading.inputs import Input, InputError, resolve_inputs
from pipeline.reading.ranges import GAP
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import ReadWarcSettings, read_unit
from tests.pipeline.servers import Web, serve
from tests.pipeline.warcs import html, outcome, record

LISTED = [f"crawl-data/CC-MAIN-2026-43/segments/1/warc/CC-MAIN-{number:05}.warc.gz" for number in range(3)]


@pytest.fixture
def crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with WARC and WET files at two depths and a file of another kind; the working directory."""
    for name in ("a/2.warc.gz", "a/1.warc.gz", "a/b/3.warc", "a/b/4.warc.wet.gz", "a/5.warc.zst", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record(html(name)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A local copy of a part of Common Crawl, in the original's order, with its listing."""
    for name in LISTED:
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(record(html(name)))
    listing = tmp_path / "mirror/crawl-data/CC-MAIN-2026-43/warc.paths.gz"
    listing.write_bytes(gzip.compress("\n".join(LISTED).encode() + b"\n"))
    return listing


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serve(tmp_path) as server:
        yield server


def names(*patterns: object, prefix: str | None = None, limit: int | None = None) -> list[str]:
    return [entry.name for entry in resolve_inputs([str(pattern) for pattern in patterns], prefix=prefix, limit=limit)]


def test_files_globs_and_folders(crawl: Path) -> None:
    assert names("a/2.warc.gz", "a/1.warc.gz") == ["1.warc.gz", "2.warc.gz"]
    assert names("a/*.gz") == ["1.warc.gz", "2.warc.gz"]
    assert names(crawl / "a/*.gz") == ["1.warc.gz", "2.warc.gz"]
    assert names("a/**/*.warc*") == ["1.warc.gz", "2.warc.gz", "5.warc.zst", "b/3.warc", "b/4.warc.wet.gz"]
    assert names("a") == names("a/") == names("./a") == names(crawl / "a") == names("a/**/*.warc*")
    (entry,) = resolve_inputs(["a/1.warc.gz"])
    assert entry == Input("1.warc.gz", "a/1.warc.gz", (crawl / "a/1.warc.gz").stat().st_size)


def test_limit_takes_the_first_by_name(crawl: Path) -> None:
    assert names("a", limit=2) == ["1.warc.gz", "2.warc.gz"]


def test_the_same_file_counts_once(crawl: Path) -> None:
    assert names("a/1.warc.gz", "./a/1.warc.gz", "a/*1.warc.gz", "a", limit=1) == ["1.warc.gz"]
    assert names("a/b/3.warc", "a").count("3.warc") == 1
    assert "b/3.warc" not in names("a/b/3.warc", "a")


def test_a_file_whose_name_looks_like_a_glob(crawl: Path) -> None:
    (crawl / "a[1].warc.gz").write_bytes(b"x")
    assert names("a[1].warc.gz") == ["a[1].warc.gz"]


def test_two_files_of_one_name_are_refused(crawl: Path) -> None:
    (crawl / "a/b/1.warc.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"would have the same name 1\.warc\.gz.*pass the folder above"):
        names("a/1.warc.gz", "a/b/1.warc.gz")
    assert {"1.warc.gz", "b/1.warc.gz"} < set(names("a"))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("missing.warc.gz", r"missing\.warc\.gz: no such file"),
        ("a/*.nothing", r"a/\*\.nothing: no file matches"),
        ("missing/", "missing: no such file"),
        ("empty", r"empty: no file ends in \.warc"),
        ("missing.paths.gz", r"missing\.paths\.gz: no such file"),
        ("torn.paths.gz", r"torn\.paths\.gz: not a readable list"),
        ("empty.paths", r"empty\.paths: the list is empty"),
        ("bad.parquet", r"bad\.parquet: not a readable Parquet file"),
        ("page.paths", r"page\.paths, line 1: '<!DOCTYPE html>' is no path"),
        ("none.parquet", r"none\.parquet: the index has no rows"),
        ("https://example.com/*.warc.gz", "web servers cannot be searched"),
    ],
)
def test_an_unusable_input_is_one_clear_line(crawl: Path, pattern: str, message: str) -> None:
    (crawl / "empty").mkdir()
    (crawl / "torn.paths.gz").write_bytes(gzip.compress(b"a\nb\n" * 500)[:20])
    (crawl / "page.paths").write_text("<!DOCTYPE html>\n<title>404</title>\n")
    (crawl / "empty.paths").write_bytes(b"\n# nothing\n")
    (crawl / "bad.parquet").write_bytes(b"PAR1 no PAR1")
    pq.write_table(_index([]), crawl / "none.parquet")
    with pytest.raises((InputError, storage.StorageError), match=message) as caught:
        names(pattern)
    assert "\n" not in str(caught.value)


def test_no_input_and_a_limit_below_one_are_refused(crawl: Path) -> None:
    with pytest.raises(InputError, match="no input given"):
        names()
    with pytest.raises(InputError, match="limit is 0"):
        names("a", limit=0)


# --- listings --------------------------------------------------------------------------------------------------------


def test_paths_of_a_mirrors_listing_are_in_the_mirror(mirror: Path, tmp_path: Path) -> None:
    found = resolve_inputs([str(mirror)], limit=2)
    assert [entry.name for entry in found] == LISTED[:2]
    assert [entry.path for entry in found] == [f"{tmp_path}/mirror/{name}" for name in LISTED[:2]]


def test_a_listing_with_a_prefix(mirror: Path, tmp_path: Path) -> None:
    alone = tmp_path / "warc.paths"
    alone.write_text("\n".join(LISTED))
    for prefix in (f"{tmp_path}/mirror", f"{tmp_path}/mirror/"):
        assert names(alone, prefix=prefix) == LISTED
    assert names(mirror) == names(alone, prefix=f"{tmp_path}/mirror")


def test_paths_of_a_listing_alone_are_at_common_crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tmp_path / "warc.paths.gz"
    alone.write_bytes(gzip.compress("\n".join(LISTED).encode()))
    requests = []
    monkeypatch.setattr(storage, "size", lambda path: requests.append(path) or 1)
    assert names(alone) == LISTED
    assert sorted(requests) == [f"https://data.commoncrawl.org/{name}" for name in LISTED]


def test_a_listing_of_other_names_is_relative_to_itself(crawl: Path) -> None:
    (crawl / "my.paths").write_text("a/1.warc.gz\na/b/3.warc\n")
    assert names("my.paths") == ["a/1.warc.gz", "a/b/3.warc"]
    (crawl / "my.paths").write_text(f"{crawl}/a/1.warc.gz\n")
    assert names("my.paths") == [f"{crawl}/a/1.warc.gz".lstrip("/")]


def test_a_missing_file_of_a_listing_is_refused_before_the_run(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror" / LISTED[1]).unlink()
    with pytest.raises(storage.StorageError, match=f"{LISTED[1]}: no such file"):
        names(mirror)


def test_a_listing_on_a_web_server(mirror: Path, web: Web) -> None:
    url = f"{web.url}/mirror/crawl-data/CC-MAIN-2026-43/warc.paths.gz"
    found = resolve_inputs([url], limit=1)
    assert found == (Input(LISTED[0], f"{web.url}/mirror/{LISTED[0]}", found[0].size),)
    assert [outcome(page) for unit in cut_units(found) for page in read_unit(unit, ReadWarcSettings())] == ["page"]
    for end in ("?token=x", "#frag", "?token=x#frag"):
        assert names(f"{web.url}/mirror/{LISTED[0]}{end}") == ["CC-MAIN-00000.warc.gz"]
    assert names(f"{url}?token=x") == [*LISTED]


# --- index rows ------------------------------------------------------------------------------------------------------


def test_rows_of_the_columnar_index_choose_records(mirror: Path, tmp_path: Path, web: Web) -> None:
    parts = [record(html(f"page {number}"), f"http://example.com/{number}") for number in range(6)]
    path = tmp_path / "mirror" / LISTED[1]
    path.write_bytes(b"".join(parts))
    starts = [sum(map(len, parts[:at])) for at in range(6)]
    rows = [(LISTED[1], starts[at], len(parts[at])) for at in (4, 1, 2, 2)]
    rows.append((LISTED[0], 0, (tmp_path / "mirror" / LISTED[0]).stat().st_size))
    (tmp_path / "rows").mkdir()
    pq.write_table(_index(rows[:2]), tmp_path / "rows/1.parquet")
    pq.write_table(_index(rows[2:]), tmp_path / "rows/2.parquet")
    for prefix in (f"{tmp_path}/mirror", f"{web.url}/mirror"):
        for pattern in (f"{tmp_path}/rows", f"{tmp_path}/rows/*.parquet"):
            found = resolve_inputs([pattern], prefix=prefix)
            assert [entry.name for entry in found] == LISTED[:2]
            assert found[1].ranges == tuple((starts[at], starts[at] + len(parts[at])) for at in (1, 2, 4))
            units = cut_units(found)
            assert [len(unit.ranges) for unit in units] == [1, 3]
            web.requests.clear()
            web.sent = 0
            pages = [page for unit in units for page in read_unit(unit, ReadWarcSettings())]
            assert [page.url for page in pages] == [f"http://example.com/{at}" for at in ("", 1, 2, 4)]  # type: ignore[union-attr]
            if prefix.startswith("http"):  # record 3 lies between records that are close together
                assert web.requests == {"GET": 2}
                assert web.sent == sum(unit.end - unit.start for unit in units)


def test_records_far_apart_are_asked_for_one_by_one(tmp_path: Path, web: Web) -> None:
    filler = record(os.urandom(GAP + 1), "http://example.com/filler")
    parts = [record(html(f"page {number}"), f"http://example.com/{number}") for number in range(2)]
    (tmp_path / "a.warc.gz").write_bytes(parts[0] + filler + parts[1])
    last = len(parts[0]) + len(filler)
    rows = [("a.warc.gz", 0, len(parts[0])), ("a.warc.gz", last, len(parts[1]))]
    pq.write_table(_index(rows), tmp_path / "rows.parquet")
    (unit,) = cut_units(resolve_inputs([f"{tmp_path}/rows.parquet"], prefix=web.url))
    web.requests.clear()
    web.sent = 0
    assert [outcome(found) for found in read_unit(unit, ReadWarcSettings())] == ["page", "page"]
    assert (web.requests["GET"], web.sent) == (2, len(parts[0]) + len(parts[1]))


def test_a_payload_that_the_index_does_not_name_is_dropped(tmp_path: Path, web: Web) -> None:
    chunked = b"5\r\n<p>a \r\n8\r\n</p> b c\r\n0\r\n\r\n"
    headers = (("Content-Type", "text/html"), ("Transfer-Encoding", "chunked"))
    bodies = [html("one"), html("two"), html("three"), b"<p>a </p> b c", b"<p>a </p> b c", html("five")]
    parts = [record(body, f"http://example.com/{number}") for number, body in enumerate(bodies)]
    parts[3] = parts[4] = record(chunked, "http://example.com/3", http=headers)
    parts[4] = record(chunked, "http://example.com/4", http=headers)
    digests: list[str | None] = [_digest(body) for body in bodies]
    digests[1] = _digest(b"another page")
    digests[2] = None
    digests[3] = f"sha1:{_digest(chunked)}"  # of the chunks, as some writers have it
    digests[5] = "sha256:" + 64 * "0"
    (tmp_path / "a.warc.gz").write_bytes(b"".join(parts))
    rows = [("a.warc.gz", sum(map(len, parts[:at])), len(parts[at])) for at in range(6)]
    pq.write_table(_index(rows, digests), tmp_path / "rows.parquet")
    (unit,) = cut_units(resolve_inputs([f"{tmp_path}/rows.parquet"], prefix=web.url))
    found = list(read_unit(unit, ReadWarcSettings()))
    assert [outcome(one) for one in found] == ["page", "wrong_digest", "page", "page", "page", "page"]
    assert isinstance(found[1], Dropped)
    assert found[1].detail.endswith(_digest(b"another page"))
    assert found[1].record.url == "http://example.com/1"


def test_digests_of_several_indexes_are_joined_and_two_of_one_record_refused(tmp_path: Path) -> None:
    (tmp_path / "a.warc.gz").write_bytes(part := record(html("one")))
    row = ("a.warc.gz", 0, len(part))
    for name, digest in (("with", _digest(html("one"))), ("without", None), ("other", _digest(b""))):
        pq.write_table(_index([row], [digest]), tmp_path / f"{name}.parquet")
    patterns = [f"{tmp_path}/{name}.parquet" for name in ("with", "without")]
    (entry,) = resolve_inputs(patterns, prefix=str(tmp_path))
    assert entry.digests == (_digest(html("one")),)
    (tmp_path / "rows").mkdir()
    for name in ("with", "other"):
        (tmp_path / f"{name}.parquet").rename(tmp_path / "rows" / f"{name}.parquet")
    with pytest.raises(InputError, match="two digests of the record at 0"):
        resolve_inputs([f"{tmp_path}/rows"], prefix=str(tmp_path))


def test_an_index_that_does_not_fit_its_files(mirror: Path, tmp_path: Path) -> None:
    for rows, message in (
        ([(LISTED[0], 0, 10**9)], "the index lists a record that ends at byte 1000000000"),
        ([(LISTED[0], 0, 100), (LISTED[0], 50, 60)], "records 0-100 and 50- overlap"),
    ):
        pq.write_table(_index(rows), tmp_path / "rows.parquet")
        with pytest.raises(InputError, match=message):
            names(tmp_path / "rows.parquet", prefix=f"{tmp_path}/mirror")


def _digest(body: bytes) -> str:
    return base64.b32encode(hashlib.sha1(body).digest()).decode()


def _index(rows: list[tuple[str, int, int]], digests: list[str | None] | None = None) -> pa.Table:
    columns: list[tuple[object, ...]] = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table(
        {
            "url": pa.array(["x"] * len(rows), pa.string()),
            "warc_filename": pa.array(columns[0], pa.string()),
            "warc_record_offset": pa.array(columns[1], pa.int32()),
            "warc_record_length": pa.array(columns[2], pa.int32()),
            **({"content_digest": pa.array(digests, pa.string())} if digests else {}),
        }
    )
