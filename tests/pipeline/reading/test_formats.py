"""Files of other formats under the name of a WARC file are refused by what they are."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pipeline.reading.formats import CHECKED, check_formats, describe_other_format
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


@pytest.mark.parametrize("start", [b"", b"\0\0\0", b"\x1f\x8b", b"\x1f\x8b\x08damaged", b"WARC/1.0\r\n", b"(\xb5/\xfd"])
def test_unknown_and_damaged_bytes_are_read(start: bytes) -> None:
    assert describe_other_format(start) == ""


def test_warc_files_pass(tmp_path: Path) -> None:
    check_formats(resolve_inputs([str(MINICRAWL)]))
    assert describe_other_format(record(html("x"))) == ""
