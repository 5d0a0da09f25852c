"""Retries: which failures of a server are retried, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.storage import StorageError, retries
from tests.pipeline.servers import Web, serve
from tests.pipeline.storage.conftest import CONTENT


@pytest.mark.parametrize("failure", [429, 500, 503, "reset", "short"])
def test_requests_to_a_busy_server_are_retried(web: Web, failure: int | str) -> None:
    url = f"{web.url}/file.bin"
    with storage.open_binary(url) as file:
        web.failures = [failure] * 3
        assert file.read(60_000) == CONTENT[:60_000]
        web.failures = [failure]
        assert file.read() == CONTENT[60_000:]


@pytest.mark.parametrize("failure", [503, "reset"])
def test_a_busy_server_does_not_look_like_a_missing_file(web: Web, failure: int | str) -> None:
    for function in (storage.size, storage.exists, storage.read_bytes):
        web.failures = [failure] * 3
        assert function(f"{web.url}/file.bin") in (len(CONTENT), True, CONTENT)
    web.failures = [failure] * 100
    with pytest.raises(StorageError, match=r"file\.bin: cannot find it \("):
        storage.exists(f"{web.url}/file.bin")


def test_retries_end_when_a_server_stays_busy(web: Web) -> None:
    with storage.open_binary(f"{web.url}/file.bin") as file:
        web.failures = [503] * 100
        web.requests.clear()
        with pytest.raises(StorageError, match=r"file\.bin: cannot read it \(the server answered 503\)"):
            file.read()
        assert web.requests["GET"] == retries.ATTEMPTS


def test_refused_requests_are_not_retried(web: Web) -> None:
    with storage.open_binary(f"{web.url}/file.bin") as file:
        web.failures = [403] * 100
        web.requests.clear()
        with pytest.raises(StorageError, match="403"):
            file.read()
        assert web.requests["GET"] == 1
    web.failures.clear()
    with pytest.raises(StorageError, match="no such file"):
        storage.size(f"{web.url}/missing")


def test_status_403_is_retried_where_it_means_too_many_requests(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 403 in retries.BUSY_AT["data.commoncrawl.org"]
    monkeypatch.setattr(retries, "BUSY_AT", {web.url.removeprefix("http://"): {403}})
    web.failures = [403] * 3
    assert storage.read_bytes(f"{web.url}/file.bin") == CONTENT


@pytest.mark.parametrize("failure", [500, 502, 503, 504, "reset"])
def test_requests_to_a_busy_object_store_are_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int | str
) -> None:
    """The retries of Amazon's client are switched off: it gives up after a few."""
    import s3fs

    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "file.bin").write_bytes(CONTENT)
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with serve(tmp_path) as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        s3fs.S3FileSystem.clear_instance_cache()
        web.failures = [failure] * 3
        with storage.open_binary("s3://crawl/file.bin") as file:
            web.failures = [failure] * 3
            assert file.read() == CONTENT
        web.failures = [403] * 3
        with pytest.raises(StorageError, match="no permission to read it"):
            storage.size("s3://crawl/file.bin")
    s3fs.S3FileSystem.clear_instance_cache()
