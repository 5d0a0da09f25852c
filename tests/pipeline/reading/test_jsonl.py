"""Lines of plain and compressed files: every split of a file gives the same lines, damage costs what it must."""

import gzip
import io
from itertools import pairwise

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reading.inputs import Input
from pipeline.reading.jsonl import DamagedLine, Line, read_lines
from pipeline.reading.units import cut_units

COMPRESS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30)


def store(folder, content: bytes, ending: str) -> Input:
    path = folder / f"a.jsonl{ending}"
    path.write_bytes(COMPRESS[ending](content))
    return Input(path.name, str(path), path.stat().st_size)


def read(entry: Input, unit_bytes: int = 10**9, cap: int = 1 << 20) -> list[Line | DamagedLine]:
    units = cut_units([entry], unit_bytes)
    return [line for unit in units for line in read_lines(unit.path, unit.start, unit.end, cap=cap, name=unit.name)]


@pytest.mark.parametrize("ending", COMPRESS)
@settings(max_examples=60)
@given(lines=LINES, final=st.booleans(), unit_bytes=st.integers(1, 60))
def test_every_split_gives_the_lines_of_the_file(tmp_path_factory, ending, lines, final, unit_bytes):
    content = b"\n".join(lines) + b"\n" * final
    entry = store(tmp_path_factory.mktemp("jsonl"), content, ending)
    found = read(entry, unit_bytes)
    assert [line.content for line in found] == [  # Python's own lines; a byte order mark and a final \r are not text
        line for line in (raw.removesuffix(b"\r") for raw in io.BytesIO(content).read().split(b"\n")) if line.strip()
    ] or content.startswith(b"\xef\xbb\xbf")
    for line in found:
        assert content[line.offset :].startswith(line.content)
        assert line.number is None or content[: line.offset].count(b"\n") == line.number - 1


@pytest.mark.parametrize("ending", COMPRESS)
def test_large_files_split_as_small_ones(tmp_path, ending):
    content = b"".join(b'{"n": %d, "text": "%s"}\n' % (n, b"%x" % (n**7) * (n % 50)) for n in range(20_000))
    entry = store(tmp_path, content, ending)
    whole = read(entry)
    assert [line.content for line in whole] == content.splitlines()
    parts = read(entry, entry.size // 7)
    assert [(line.offset, line.content) for line in parts] == [(line.offset, line.content) for line in whole]
    if ending:  # several of the parts have lines of their own
        starts = [unit.start for unit in cut_units([entry], entry.size // 7)]
        assert sum(any(a <= line.position < b for line in whole) for a, b in pairwise(starts)) > 3


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_long_line_is_cut_and_measured(tmp_path, ending):
    entry = store(tmp_path, b"a" * 1_000_000 + b"\nb\n", ending)
    assert [(line.content, line.length) for line in read(entry, cap=1000)] == [(b"a" * 1000, 1_000_000), (b"b", 1)]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    assert [line.content for line in read(store(tmp_path, b"\xef\xbb\xbf{}\r\n{}\r\n", ""))] == [b"{}", b"{}"]


def test_members_of_a_file_are_one_stream(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"one\ntw") + gzip.compress(b"") + gzip.compress(b"o\nthree"))
    found = read(Input("a.jsonl.gz", str(path), path.stat().st_size), 15)
    assert [line.content for line in found] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("unit_bytes", [10**9, 1000, 7])
def test_a_truncated_file_gives_its_lines_and_one_damage(tmp_path, ending, unit_bytes):
    content = b"".join(b"%x\n" % n**9 for n in range(4_000))
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(COMPRESS[ending](content)[:-100])
    found = read(Input(path.name, str(path), path.stat().st_size), max(unit_bytes, path.stat().st_size // 40))
    assert isinstance(found[-1], DamagedLine)
    assert "ends inside" in found[-1].error
    assert [line.content for line in found[:-1]] == content.split(b"\n")[: len(found) - 1]
    assert found[-1].number == len(found)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_file_of_another_kind_is_one_damage(tmp_path, ending):
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(b'{"text": "not compressed at all"}\n')
    (found,) = read(Input(path.name, str(path), path.stat().st_size), 10)
    assert isinstance(found, DamagedLine)


@pytest.mark.parametrize("ending", COMPRESS)
def test_an_empty_file_has_no_line(tmp_path, ending):
    assert read(store(tmp_path, b"", ending)) == []
    (tmp_path / "b.jsonl").write_bytes(b"")
    assert read(Input("b.jsonl", str(tmp_path / "b.jsonl"), 0)) == []


@pytest.mark.parametrize("ending", COMPRESS)
@settings(max_examples=60)
@given(content=st.binary(max_size=300), unit_bytes=st.integers(1, 100))
def test_any_bytes_give_lines_or_one_damage(tmp_path_factory, ending, content, unit_bytes):
    path = tmp_path_factory.mktemp("hostile") / f"a.jsonl{ending}"
    path.write_bytes(content)
    found = read(Input(path.name, str(path), len(content)), unit_bytes, cap=50)
    assert sum(isinstance(line, DamagedLine) for line in found) <= 1
    assert [line.offset for line in found] == sorted(line.offset for line in found)
