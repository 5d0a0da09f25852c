"""Units cover every byte of the input once, and their keys are safe, stable and different."""

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.inputs import Input
from pipeline.reading.units import Unit, cut_units


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_units_cover_a_file_without_gap_or_overlap(size: int, unit_bytes: int) -> None:
    unit_bytes = max(unit_bytes, size // 1000)
    units = cut_units([Input("x.warc.gz", "/x.warc.gz", size)], unit_bytes)
    assert [unit.start for unit in units] == [0, *(unit.end for unit in units[:-1])]
    assert units[-1].end == size
    assert all(unit.end - unit.start <= unit_bytes for unit in units)
    assert max(unit.end - unit.start for unit in units) - min(unit.end - unit.start for unit in units) <= 1


@pytest.mark.parametrize(
    ("size", "parts"),
    [(0, 1), (2_000_000, 1), (2_000_001, 2), (47_000_000, 16), (1_000_000_000, 16), (1_200_000_000, 19)],
)
def test_a_file_is_cut_for_all_workers_and_into_no_crumbs(size: int, parts: int) -> None:
    entry = Input("x.warc.gz", "/x.warc.gz", size)
    units = cut_units([entry])
    assert len(units) == parts
    assert cut_units([Input("a.warc.gz", "/a", 5 * size), entry])[-parts:] == units  # other files change nothing
    assert len(cut_units([entry], 2_000_000_000)) == 1
    records = Input("x.warc.gz", "/x", size, tuple((at, at + 100_000) for at in range(0, size, 100_000)))
    assert abs(len(cut_units([records])) - parts) <= 1 + parts // 4


def test_a_folder_of_html_files_is_cut_for_all_workers() -> None:
    files = [Input(f"{number}.html", f"/{number}.html", 50_000) for number in range(600)]
    assert [len(unit.files) for unit in cut_units(files)] == [250, 250, 100]


@pytest.mark.parametrize("name", ["x.warc", "x.warc.zst", "x.wet"])
def test_only_gzip_files_are_cut(name: str) -> None:
    assert cut_units([Input(name, f"/{name}", 10**9)], 1000) == [Unit(name, f"/{name}", 0, 10**9)]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 300)), min_size=1, max_size=40), st.integers(1, 2000))
def test_chosen_records_are_covered_by_units_of_the_given_size(gaps: list[tuple[int, int]], unit_bytes: int) -> None:
    ranges, at = [], 0
    for gap, length in gaps:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    units = cut_units([Input("x", "/x", at, tuple(ranges))], unit_bytes)
    covered = [byte for unit in units for start, end in unit.ranges for byte in range(start, end)]
    assert covered == [byte for start, end in ranges for byte in range(start, end)]
    for unit in units:
        assert all(end <= start for (_, end), (start, _) in zip(unit.ranges, unit.ranges[1:], strict=False))
        total = sum(end - start for start, end in unit.ranges)
        assert total <= unit_bytes or sum(unit.start <= start < unit.end for start, _ in ranges) == 1


def test_keys() -> None:
    inputs = [
        Input("a/x.warc.gz", "/x", 1000),
        Input("b/x.warc.gz", "/y", 1000),
        Input("../../etc/pass wd?.gz", "s3://z", 1000, ((0, 10), (20, 30))),
        Input("../../etc/pass wd?.gz", "s3://z", 1000, ((0, 10), (20, 31))),
        Input("." + "ü" * 500 + ".gz", "/u", 1000),
    ]
    units = cut_units(inputs, 300)
    keys = [unit.key for unit in units]
    assert len(set(keys)) == len(keys) == 4 + 4 + 2 + 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{1,127}", key) for key in keys)
    moved = cut_units([Input("a/x.warc.gz", "https://mirror/x", 1000)], 300)
    assert [unit.key for unit in moved] == keys[:4]  # the same work, wherever the copy lies
    assert pickle.loads(pickle.dumps(units)) == units


def test_a_unit_of_zero_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="unit_bytes is 0"):
        cut_units([], 0)
