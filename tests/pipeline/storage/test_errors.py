"""Storage errors name the file, the cause and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage
from pipeline.effects import Effect, simulate
from pipeline.storage import StorageError, retries
from tests.pipeline.servers import Web


def test_errors_name_the_file_and_the_cause(tmp_path: Path) -> None:
    for action in (storage.size, storage.read_bytes, storage.list_files):
        with pytest.raises(StorageError, match="missing: no such file"):
            action(str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="/dev/null: cannot write it"), storage.write_atomically("/dev/null/x"):
        pass
    with pytest.raises(StorageError, match="nosuch://x: cannot open nosuch://"):
        storage.size("nosuch://x")


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        _write_to_a_full_disk(str(tmp_path / "x"))
    assert os.listdir(tmp_path) == []


def test_a_full_disk_that_cannot_be_looked_at_is_reported_all_the_same(tmp_path: Path) -> None:
    class Unreadable:
        def perform(self, effect: Effect, subject: str, action: Callable[[], Any], _torn: object = None) -> Any:
            if effect is Effect.LOOK:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), subject)
            return action()

    with simulate(Unreadable()), pytest.raises(StorageError, match=r"/x: the disk is full; free some space"):
        _write_to_a_full_disk(str(tmp_path / "x"))


def test_an_error_of_another_file_names_that_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="/nowhere/y: no such file"), storage.write_atomically(str(tmp_path / "x")):
        Path("/nowhere/y").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x").touch(mode=0o000)
    with pytest.raises(StorageError, match="no permission to read"):
        storage.read_bytes(str(tmp_path / "x"))


def test_errors_of_the_system_keep_their_text(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=os.strerror(errno.EISDIR)):
        storage.read_bytes(str(tmp_path))


def test_a_server_that_does_not_exist_is_reported(web: Web) -> None:
    with pytest.raises(StorageError, match=r"http://nowhere\.invalid/x: cannot read it \("):
        storage.size("http://nowhere.invalid/x")


def test_an_unreachable_object_store_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match=r"s3://crawl/x: cannot read it \(.*127\.0\.0\.1:9"):
        storage.size("s3://crawl/x")
    s3fs.S3FileSystem.clear_instance_cache()


def _write_to_a_full_disk(path: str) -> None:
    with storage.write_atomically(path), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def test_exit_codes_of_missing_files_and_of_other_failures(tmp_path: Path) -> None:
    with pytest.raises(storage.NoSuchFileError) as missing:
        storage.read_bytes(str(tmp_path / "missing"))
    assert missing.value.exit_code == 2
    with pytest.raises(StorageError) as folder:
        storage.read_bytes(str(tmp_path))
    assert folder.value.exit_code == 4


def test_internal_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), storage.explain_errors(str(tmp_path), "read"):
        1 / 0  # noqa: B018
