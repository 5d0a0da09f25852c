"""Parquet files: rows, counts, and the errors of damaged files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage


@pytest.fixture
def path(tmp_path: Path) -> str:
    found = str(tmp_path / "rows.parquet")
    pq.write_table(pa.table({"n": list(range(2500))}), found)
    return found


def test_rows_are_read_in_order(path: str) -> None:
    assert [row["n"] for row in storage.read_rows(path)] == list(range(2500))
    assert storage.count_rows(path) == 2500


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet file at all"])
def test_a_damaged_file_is_named(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    for read in (storage.count_rows, lambda path: list(storage.read_rows(path))):
        with pytest.raises(storage.StorageError, match=r"rows\.parquet: not a readable Parquet file"):
            read(path)


def test_a_damaged_page_is_named(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[4:400] = bytes(396)
    Path(path).write_bytes(data)
    with pytest.raises(storage.StorageError, match=r"rows\.parquet: "):
        list(storage.read_rows(path))
