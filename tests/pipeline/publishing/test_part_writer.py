"""Parts: the manifest entry of the written file, and failures while writing."""

from __future__ import annotations

import hashlib
import resource

import pyarrow.parquet as pq
import pytest

from pipeline.publishing.part_writer import PartWriter
from pipeline.publishing.schema import DROP
from pipeline.storage import StorageError


def drop(number: int) -> dict:
    row = dict.fromkeys(DROP.names)
    return {**row, "id": str(number), "url": "u", "stage": "s", "reason": "r"}


def test_the_manifest_entry_agrees_with_the_written_file(tmp_path):
    with PartWriter(str(tmp_path / "drops/part-00000.parquet"), DROP).open() as writer:
        for number in range(2500):
            writer.write(drop(number))
    entry = writer.manifest_entry()
    data = (tmp_path / "drops/part-00000.parquet").read_bytes()
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert entry["bytes"] == len(data)
    assert entry["path"] == "drops/part-00000.parquet"
    assert pq.read_table(tmp_path / "drops/part-00000.parquet")["id"].to_pylist() == [str(n) for n in range(2500)]


def test_a_part_that_fails_leaves_no_file(tmp_path):
    def stop():
        with PartWriter(str(tmp_path / "part.parquet"), DROP).open() as writer:
            writer.write(drop(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [0, 10, 3000])
def test_a_full_disk_leaves_no_file_and_the_error_names_the_part(tmp_path, rows):
    """While writing the footer, the last rows or the first row group; a limit on file sizes simulates a full disk."""

    def write():
        with PartWriter(str(tmp_path / "part.parquet"), DROP).open() as writer:
            for number in range(rows):
                writer.write(drop(number))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"part\.parquet: cannot write it \(File too large\)"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
