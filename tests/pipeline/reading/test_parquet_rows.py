"""Rows of Parquet files: every split of a file gives the same rows."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import effects
from pipeline.effects import Effect
from pipeline.reading.inputs import Input
from pipeline.reading.parquet_rows import DamagedRows, ParquetRow, read_row, read_rows
from pipeline.reading.units import cut_units
from tests.pipeline.simulation.world import Fault, World


def read(path, unit_bytes: int = 10**9, columns=("text", "url")) -> list[ParquetRow | DamagedRows]:
    units = cut_units([Input(path.name, str(path), path.stat().st_size)], unit_bytes)
    return [row for unit in units for row in read_rows(unit.path, unit.start, unit.end, columns)]


@settings(max_examples=40)
@given(rows=st.integers(0, 300), group=st.integers(1, 200), unit_bytes=st.integers(50, 3000))
def test_every_split_gives_the_rows_of_the_file(tmp_path_factory, rows, group, unit_bytes):
    path = tmp_path_factory.mktemp("rows") / "a.parquet"
    table = pa.table({"text": [f"text {n}" for n in range(rows)], "n": range(rows), "url": [None] * rows})
    pq.write_table(table, path, row_group_size=group)
    found = read(path, unit_bytes)
    assert [row.values for row in found] == table.select(["text", "url"]).to_pylist()
    assert [row.number for row in found] == list(range(rows))
    if rows:
        assert read_row(str(path), rows // 2, ["text"]) == ParquetRow(
            rows // 2, found[rows // 2].position, {"text": f"text {rows // 2}"}
        )
    assert read_row(str(path), rows, ["text"]) is None


def test_one_large_row_group_is_shared_out(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"{n**9:x}" * 20 for n in range(5000)]}), path)
    units = cut_units([Input("a.parquet", str(path), path.stat().st_size)], path.stat().st_size // 5)
    counts = [sum(1 for _ in read_rows(unit.path, unit.start, unit.end, ["text"])) for unit in units]
    assert sum(counts) == 5000
    assert min(counts[:-1]) > 500


def test_values_that_python_cannot_hold_do_not_end_the_file(tmp_path):
    path = tmp_path / "a.parquet"
    buffers = pa.array([b"good", b"\xff\xfe", b"also good"]).buffers()
    broken = pa.StringArray.from_buffers(3, buffers[1], buffers[2])
    table = pa.table({
        "text": broken,
        "date": pa.array([0, 1_600_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "html": pa.array([b"\xff", b"x", None]),
    })  # fmt: skip
    pq.write_table(table, path)
    found = [row.values for row in read(path, columns=("text", "date", "kind", "html"))]
    assert [row["text"] for row in found] == ["good", "\ufffd\ufffd", "also good"]
    dates = [row["date"] and dt.datetime.fromisoformat(row["date"]) for row in found]
    assert dates == [dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 9, 13, 12, 26, 40, tzinfo=dt.UTC), None]
    assert [row["kind"] for row in found] == ["a", "b", "a"]
    assert [row["html"] for row in found] == [b"\xff", b"x", None]


def test_a_damaged_file_is_one_damage(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["words"] * 100}), path)
    for content in (b"PAR1 no parquet PAR1", path.read_bytes()[:-20]):
        path.write_bytes(content)
        (found,) = read(path, 7)
        assert isinstance(found, DamagedRows)
        assert "not a readable Parquet file" in found.error


@pytest.mark.parametrize("seed", range(5))
def test_damaged_pages_cost_rows_and_never_a_crash(tmp_path, seed):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"{n**5:x}" * 30 for n in range(1000)]}), path, row_group_size=100)
    content = bytearray(path.read_bytes())
    for at in range(200 + seed, len(content) - 4000, 5003):
        content[at] ^= 0x55
    path.write_bytes(content)
    found = read(path, 4000)
    numbers = [row.number for row in found]
    assert numbers == sorted(set(numbers))
    assert any(isinstance(row, DamagedRows) for row in found)


def test_a_disk_that_gave_too_little_once_costs_no_rows(tmp_path):
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"text": [f"text {number} " * 50 for number in range(40)]}), path, row_group_size=10)
    expected = list(read_rows(str(path), 0, path.stat().st_size, ["text"]))
    assert len(expected) == 40
    for short in range(1, 100):
        reads: list[int] = []

        def plan(_number, effect, _subject, reads=reads, short=short):
            reads.append(1) if effect is Effect.READ else None
            return Fault.SHORT if effect is Effect.READ and len(reads) == short else None

        with effects.simulate(World(str(tmp_path), plan)):
            assert list(read_rows(str(path), 0, path.stat().st_size, ["text"])) == expected
        if len(reads) < short:
            break
    assert 4 < short < 99


def test_a_file_without_the_columns_has_rows_without_values(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": range(3)}), path)
    assert [row.values for row in read(path)] == [{}, {}, {}]
