"""Listings and index rows are hostile input: a server names only its own files, and nothing is read without caps."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading import listings
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.listings import InputError, path_resolver, read_index_rows, read_listing
from tests.conftest import ROOT
from tests.pipeline.servers import serve

OWN = "https://mirror.example/data/crawl-data/CC/warc.paths.gz"
HOSTILE = [
    "file:///etc/passwd", "/etc/passwd", "//evil.example/x", "../../etc/passwd", "a/../../b", "http://evil.example/x",
    "https://evil.example/x", "http://mirror.example/x", "https://mirror.example:8443/x", "s3://bucket/x", "gs://b/x",
    "https://user@mirror.example/x", "https://mirror.example@evil.example/x", "https://mirror.example.evil.example/x",
    "memory://x", "local:///etc/passwd", "simplecache::file:///etc/passwd", "x::file:///etc/passwd", "x::/etc/passwd",
    "zip://x::file:///a.zip", "https://[::1/x", "FILE:///etc/passwd", "https:///etc/passwd", "abfs://x/y",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_listing_of_a_server_names_only_its_own_files(name: str) -> None:
    for listing, prefix in (
        (OWN, None),
        (OWN, "/data/mirror"),
        ("s3://crawls/x.paths", None),
        ("gs://c/x.paths", None),
    ):
        if name.startswith(listing.split("//", 1)[0]) and name.split("/")[2:3] == listing.split("/")[2:3]:
            continue
        with pytest.raises(InputError, match="is not on its own server"):
            path_resolver(listing, "crawl-data/CC/a.warc.gz", prefix)(name)


def test_relative_and_own_names_are_accepted() -> None:
    locate = path_resolver(OWN, "crawl-data/CC/a.warc.gz", None)
    assert locate("crawl-data/CC/b..c.warc.gz") == "https://mirror.example/data/crawl-data/CC/b..c.warc.gz"
    for own in ("https://mirror.example/x", "HTTPS://Mirror.Example:443/x"):
        assert locate(own) == own
    assert path_resolver(OWN, "a", "s3://copy")("s3://copy/a") == "s3://copy/a"
    assert path_resolver("s3://crawls/x.paths", "a", None)("s3://crawls/y/a") == "s3://crawls/y/a"
    assert path_resolver("/home/me/x.paths", "/a", None)("/data/a.warc.gz") == "/data/a.warc.gz"


@given(st.text(alphabet="abc/.:@\\%?# s3filehtp", max_size=40))
def test_no_name_leaves_the_server(name: str) -> None:
    try:
        located = path_resolver(OWN, "crawl-data/CC/a", None)(name)
    except InputError:
        return
    assert located.lower().startswith("https://mirror.example/")


def test_nothing_of_this_machine_is_read_for_a_server(tmp_path: Path) -> None:
    secret = tmp_path / "secret.warc.gz"
    secret.write_bytes(b"secret")
    (tmp_path / "web").mkdir()
    pq.write_table(rows([(f"file://{secret}", 0, 6)]), tmp_path / "web/rows.parquet")
    for name in (f"file://{secret}", str(secret)):
        (tmp_path / "web/x.paths").write_text(f"{name}\n")
        with serve(tmp_path / "web") as web:
            for file in ("x.paths", "rows.parquet"):
                with pytest.raises(InputError, match="not on its own server"):
                    resolve_inputs([f"{web.url}/{file}"])
                assert web.requests.total() <= 12


LIMITED = """
import resource, sys
from pipeline.reading.inputs import resolve_inputs, InputError
from pipeline.storage import StorageError
import pipeline.cli, pyarrow.parquet, psutil
limit = psutil.Process().memory_info().vms + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    resolve_inputs([sys.argv[1]])
except (InputError, StorageError) as error:
    print(error)
"""


def resolve_within(path: Path, allowance: int) -> str:
    """What resolving prints in a process that may use `allowance` more bytes of address space."""
    command = [sys.executable, "-c", LIMITED, str(path), str(allowance)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.parametrize("line", [b"\0", b"a", b"\n"])
def test_a_gzip_bomb_takes_little_memory(tmp_path: Path, line: bytes) -> None:
    """3 GB of one character, in 3 MB."""
    path = tmp_path / "bomb.paths.gz"
    member = gzip.compress(line * (100 << 20))
    path.write_bytes(member * 30)
    assert "not a list of paths" in resolve_within(path, 1_000_000_000)


def test_a_million_missing_files_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.paths"
    path.write_text("".join(f"crawl-data/segments/{n:07}/warc/file-{n:07}.warc.gz\n" for n in range(1_000_000)))
    (tmp_path / "crawl-data").mkdir()
    (tmp_path / "crawl-data/segments").mkdir()
    (tmp_path / "crawl-data/segments/0000000").mkdir()
    (tmp_path / "crawl-data/segments/0000000/warc").mkdir()
    (tmp_path / "crawl-data/segments/0000000/warc/file-0000000.warc.gz").touch()  # a mirror
    assert "no such file" in resolve_within(path, 2_000_000_000)


def test_caps_are_on_lines_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.paths"
    path.write_bytes(b"a" * listings.MAX_PATH_BYTES + b"\n# x\n\nb")
    assert list(read_listing(str(path))) == ["a" * listings.MAX_PATH_BYTES, "b"]
    path.write_bytes(b"a" * (listings.MAX_PATH_BYTES + 1) + b"\n")
    for name, value in (("MAX_PATH_BYTES", None), ("MAX_LINES", 2), ("MAX_LISTING_BYTES", 10)):
        if value:
            monkeypatch.setattr(listings, name, value)
            path.write_text("a.warc.gz\n" * 3)
        with pytest.raises(InputError, match="not a list of paths"):
            list(read_listing(str(path)))


def read_or_refuse(path: Path) -> str:
    """ "" for a listing that is read, else why it is refused."""
    try:
        list(read_listing(str(path)))
    except InputError as error:
        return str(error)
    return ""


@given(st.binary(max_size=200))
def test_any_bytes_are_paths_or_one_clear_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.paths"
    for written in (content, gzip.compress(content), gzip.compress(content)[:-4], b"\x1f\x8b" + content):
        path.write_bytes(written)
        assert "\n" not in read_or_refuse(path)


def rows(values: list[tuple[object, object, object]], *kinds: pa.DataType) -> pa.Table:
    kinds = kinds or (pa.string(), pa.int64(), pa.int64())
    columns = list(zip(*values, strict=True))
    names = ("warc_filename", "warc_record_offset", "warc_record_length")
    return pa.table(
        {name: pa.array(list(column), kind) for name, column, kind in zip(names, columns, kinds, strict=True)}
    )


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (rows([("a", "0", "5")], pa.string(), pa.string(), pa.string()), "warc_record_offset string"),
        (rows([(1, 0, 5)], pa.int64(), pa.int64(), pa.int64()), "warc_filename int64"),
        (rows([("a", 0.5, 5)], pa.string(), pa.float64(), pa.int64()), "warc_record_offset double"),
        (rows([("a", -1, 5)]), "row 1: offset -1 and length 5 are no record"),
        (rows([("b", 1, 5), ("a", 0, 0)]), "row 2: offset 0 and length 0 are no record"),
        (rows([(None, 0, 5)]), "row 1: a column is empty"),
        (rows([("a", None, 5)]), "row 1: a column is empty"),
        (rows([("", 0, 5)]), "row 1: a column is empty"),
        (rows([("a\nb", 0, 5)]), "is no path"),
        (rows([("a" * 5000, 0, 5)]), "a path of 5,000 characters"),
    ],
)
def test_an_index_of_other_values_is_refused_by_its_name(tmp_path: Path, table: pa.Table, says: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    with pytest.raises(InputError) as caught:
        list(read_index_rows(str(path)))
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
