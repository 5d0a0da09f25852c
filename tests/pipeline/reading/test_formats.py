"""Files of other formats under the name of an input are refused by what they are, and empty ones."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pipeline.reading.first_bytes import EMPTY, describe_start
from pipeline.reading.formats import CHECKED, check_formats
from pipeline.reading.inputs import InputError, resolve_inputs
from tests.conftest import MINICRAWL, Command
from tests.pipeline.warcs import html, record


def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.add(__file__, "x")
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as folder:
        folder.writestr("a.warc", "x")
    return file.getvalue()


OTHERS = {
    "a PNG image": image("PNG"),
    "a JPEG image": image("JPEG"),
    "a GIF image": image("GIF"),
    "a tar archive": archive(),
    "a ZIP archive": zipped(),
    "a web page or XML": b"\n<!DOCTYPE html><title>404</title>",
    "JSON": json.dumps({"error": 1}).encode(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_format_is_refused_with_its_name(tmp_path: Path, name: str, gristmill: Command) -> None:
    path = tmp_path / "x.warc.gz"
    for content in (OTHERS[name], *([] if "tar" in name else [gzip.compress(OTHERS[name])])):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"x\.warc\.gz: is no WARC file, but {name}"):
            check_formats(resolve_inputs([str(path)]))


def test_the_command_says_so_and_writes_nothing(tmp_path: Path, gristmill: Command) -> None:
    (tmp_path / "x.warc.gz").write_bytes(OTHERS["a PNG image"])
    done = gristmill("curate", tmp_path / "x.warc.gz", "--output", tmp_path / "out", check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("x.warc.gz: is no WARC file, but a PNG image")
    assert not (tmp_path / "out").exists()
    planned = gristmill("plan", tmp_path / "x.warc.gz", check=False)
    assert (planned.returncode, planned.stdout) == (2, "")
    assert planned.stderr.splitlines()[-1].endswith("x.warc.gz: is no WARC file, but a PNG image")


def test_a_file_behind_those_that_are_looked_at_is_named_when_its_pages_fail(
    tmp_path: Path, gristmill: Command
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(CHECKED):
        (tmp_path / f"in/{number:02}.warc").write_bytes(record(b"software: x", kind="warcinfo", compressed=False))
    (tmp_path / "in/x.warc.gz").write_bytes(OTHERS["a PNG image"])
    for _ in range(2):  # also when the run is resumed
        done = gristmill("curate", tmp_path / "in", "--output", tmp_path / "out", "--workers", "1", check=False)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].endswith("x.warc.gz: is no WARC file, but a PNG image")


@pytest.mark.parametrize("start", [b"\0\0\0", b"\x1f\x8b", b"\x1f\x8b\x08damaged", b"WARC/1.0\r\n", b"(\xb5/\xfd"])
def test_unknown_and_damaged_bytes_are_read(start: bytes) -> None:
    assert describe_start(start, "a.warc.gz") == ""


def test_warc_files_pass(tmp_path: Path) -> None:
    check_formats(resolve_inputs([str(MINICRAWL)]))
    assert describe_start(record(html("x")), "a.warc.gz") == ""


# gzip without the time: these bytes name tests, and two workers that name them differently run none.
PNG, ARRAY, LINE = image("PNG"), json.dumps([{"text": "x"}]).encode(), b'{"text": "x"}\n'
WRONG = [
    ("x.jsonl", PNG, "is no JSONL file, but a PNG image"),
    ("x.jsonl.gz", gzip.compress(PNG, mtime=0), "is no JSONL file, but a PNG image"),
    ("x.json", ARRAY, "is no JSONL file, but a JSON array; it needs one JSON object a line"),
    ("x.json.gz", gzip.compress(ARRAY, mtime=0), "is no JSONL file, but a JSON array; it needs one JSON object a line"),
    ("x.jsonl", gzip.compress(LINE, mtime=0), "is no JSONL file, but a gzip file"),
    ("x.jsonl.gz", LINE, "is no JSONL file, but JSON that is not compressed"),
    ("x.jsonl", LINE.decode().encode("utf-16"), "is no JSONL file, but text in UTF-16"),
    ("x.jsonl", record(b"x", compressed=False), "is no JSONL file, but a WARC file"),
    ("x.ndjson", b"<html>404", "is no JSONL file, but a web page or XML"),
    ("x.parquet", PNG, "is no Parquet file, but a PNG image"),
    ("x.parquet", LINE, "is no Parquet file, but JSON"),
    ("x.parquet", b"", "the file is empty"),
    ("x.html", PNG, "is no HTML file, but a PNG image"),
    ("x.html", gzip.compress(b"<html>", mtime=0), "is no HTML file, but a gzip file"),
    ("x.warc", b"PAR1", "is no WARC file, but a Parquet file"),
    ("x.warc", gzip.decompress(archive()), "is no WARC file, but a tar archive"),
    ("x.paths", PNG, "is no list of paths, but a PNG image"),
    ("x.paths", "a.warc".encode("utf-16"), "is no list of paths, but text in UTF-16"),
    *((f"x.{ending}", b"", "the file is empty") for ending in ("warc", "warc.gz", "jsonl", "html")),
    *((f"x.{ending}", gzip.compress(b"", mtime=0), "the file is empty") for ending in ("warc.gz", "jsonl.gz")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "says"), WRONG)
def test_a_wrong_name_is_told(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        check_formats(resolve_inputs([str(tmp_path / name)]))
    assert str(caught.value) == f"{tmp_path / name}: {says}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", LINE), ("x.jsonl", b"\xef\xbb\xbf" + LINE), ("x.jsonl.gz", gzip.compress(LINE, mtime=0)),
        ("x.jsonl", b"\0broken"), ("x.html", b"[a] text"), ("x.html", "<p>".encode("utf-16")),
        ("x.html", b"{{ page }}"),
    ],
)  # fmt: skip
def test_a_right_name_passes(name: str, content: bytes) -> None:
    assert describe_start(content, name) == ""


def test_a_page_or_an_empty_file_among_others_is_lost_alone(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(PNG)
    (tmp_path / "b.html").write_bytes(b"")
    for number in range(CHECKED):
        (tmp_path / f"c{number}.html").write_bytes(b"<p>x")
    check_formats(resolve_inputs([str(tmp_path)]))
    for path in tmp_path.glob("c*"):
        path.write_bytes(PNG)
    with pytest.raises(InputError, match=r"a\.html: is no HTML file, but a PNG image"):
        check_formats(resolve_inputs([str(tmp_path)]))
    assert describe_start(b"", "a.html") == EMPTY
