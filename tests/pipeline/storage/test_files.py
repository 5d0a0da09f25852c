"""The same file operations on a disk and in an object store."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import effects, storage
from pipeline.storage import StorageError
from tests.pipeline.simulation.world import Fault, World, at_call
from tests.pipeline.storage.conftest import CONTENT


def test_local_files(tmp_path: Path) -> None:
    path = storage.join(str(tmp_path), "a", "b.bin")
    assert path == f"{tmp_path}/a/b.bin"
    assert not storage.exists(path)
    storage.make_folder(storage.join(str(tmp_path), "a"))
    with storage.write_atomically(path) as file:
        file.write(CONTENT)
        assert not storage.exists(path)
    assert storage.size(path) == len(CONTENT)
    assert storage.read_bytes(path) == CONTENT
    with storage.open_binary(path, 1000) as file:
        assert file.read(3) == CONTENT[1000:1003]
    assert storage.list_files(str(tmp_path)) == [path]
    assert storage.glob_files(f"{tmp_path}/**/*.bin") == [path]
    storage.remove(path)
    storage.remove(path)
    assert storage.list_files(str(tmp_path)) == []
    assert storage.read_bytes(f"file://{__file__}") == Path(__file__).read_bytes()


def test_an_object_store(bucket: str) -> None:
    bucket = storage.join(bucket, "files")  # other tests share the bucket
    path = storage.join(bucket, "a", "b.bin")
    assert path == "s3://crawl/files/a/b.bin"
    storage.make_folder(f"{bucket}/a")
    with storage.write_atomically(path) as file:
        file.write(CONTENT)
        assert not storage.exists(path)
    assert storage.exists(path)
    assert storage.is_folder(f"{bucket}/a")
    assert storage.size(path) == len(CONTENT)
    assert storage.read_bytes(path) == CONTENT
    with storage.open_binary(path, 1000) as file:
        assert file.read(3) == CONTENT[1000:1003]
    assert storage.list_files(bucket) == [path]
    assert storage.glob_files(f"{bucket}/**/*.bin") == [path]
    with pytest.raises(RuntimeError):
        _write_half(f"{bucket}/half")
    assert not storage.exists(f"{bucket}/half")
    with (
        effects.simulate(World(bucket, at_call(1, Fault.SHORT))),
        pytest.raises(StorageError, match=f"{path}: has 256000"),
    ):
        storage.read_bytes(path)
    with pytest.raises(StorageError, match="no such file"):
        storage.read_bytes(f"{bucket}/missing")
    storage.remove(path)
    storage.remove(path)
    assert storage.list_files(bucket) == []


def _write_half(path: str) -> None:
    with storage.write_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
