"""Reading and writing tables: formats, errors with line numbers, and constant memory."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifiers.data.tables import Row, add_columns, read_batches, texts_of
from classifiers.errors import NothingFoundError, UserError

ROWS = [{"text": "eins", "n": 1}, {"text": None, "n": 2}, {"text": "drei ✓", "n": 3}]


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def lengths(batch: list[Row]) -> Row:
    return {"length": [len(row["text"] or "") for row in batch]}


@pytest.mark.parametrize("source", ["in.jsonl", "in.jsonl.gz", "in.parquet"])
@pytest.mark.parametrize("target", ["out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_every_format_goes_to_every_format(tmp_path: Path, source: str, target: str) -> None:
    path = write(tmp_path / source, ROWS)
    assert add_columns(path, tmp_path / target, lengths) == 3
    found = [row for batch in read_batches(tmp_path / target) for row in batch]
    assert found == [row | {"length": length} for row, length in zip(ROWS, [4, 0, 6], strict=True)]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source, target])  # nothing partial stays


@pytest.mark.parametrize("target", ["out.jsonl", "out.parquet"])
def test_a_file_without_rows_gives_no_target(tmp_path: Path, target: str) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    with pytest.raises(NothingFoundError, match=rf"in\.parquet: has no rows, so .*{target} was not written"):
        add_columns(path, tmp_path / target, lengths)
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_file_line_and_repair(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n\n{oops\n')
    with pytest.raises(UserError, match=r"in\.jsonl, line 3: not JSON"):
        list(read_batches(path))
    path.write_text("[1]\n")
    with pytest.raises(UserError, match="line 1: found a list, expected an object"):
        list(read_batches(path))
    with pytest.raises(UserError, match="no `text`; its columns are body"):
        texts_of([{"body": "x"}], path)
    with pytest.raises(UserError, match="should end in"):
        list(read_batches(write(tmp_path / "in.csv", [])))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not a readable Parquet"):
        list(read_batches(tmp_path / "bad.parquet"))
    with pytest.raises(UserError, match="not a readable Parquet"):
        add_columns(tmp_path / "bad.parquet", tmp_path / "out.parquet", lengths)


def test_a_failed_run_leaves_no_target(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n{oops\n')
    with pytest.raises(UserError, match="line 2"):
        add_columns(path, tmp_path / "out.jsonl", lengths)
    assert not (tmp_path / "out.jsonl").exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.jsonl"
        path.write_text(('{"text": "' + "word " * 500 + '"}\n') * rows)
        tracemalloc.start()
        add_columns(path, tmp_path / "out.jsonl", lengths)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(6_000) < peak(1_500) + 1_000_000  # the longer file is 11 MB longer
