"""Common Crawl's bucket with and without AWS credentials."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline import storage
from pipeline.storage import StorageError, paths, remote
from tests.pipeline.servers import Web
from tests.pipeline.storage.conftest import CONTENT


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    paths.has_aws_credentials.cache_clear()
    yield
    paths.has_aws_credentials.cache_clear()


def test_common_crawls_bucket_is_read_without_credentials(
    web: Web, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.address_of("s3://commoncrawl/crawl-data/x") == "https://data.commoncrawl.org/crawl-data/x"
    monkeypatch.setattr(paths, "COMMON_CRAWL_WEB", f"{web.url}/")
    path = "s3://commoncrawl/file.bin"
    assert storage.exists(path)
    assert not storage.exists("s3://commoncrawl/missing")
    assert not storage.is_folder(path)
    assert storage.size(path) == len(CONTENT)
    web.failures = [503, "reset"]
    with storage.open_binary(path, 200_000, 200_100) as file:
        assert file.read(100) == CONTENT[200_000:200_100]
    with pytest.raises(StorageError, match=r"s3://commoncrawl/missing: no such file"):
        storage.size("s3://commoncrawl/missing")
    with pytest.raises(StorageError, match="without AWS credentials; pass a warc"):
        storage.glob_files("s3://commoncrawl/crawl-data/*")


def test_with_credentials_the_bucket_itself_is_read(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    fs, inner = remote.open_filesystem("s3://commoncrawl/crawl-data/x")
    assert ("s3" in fs.protocol, fs.anon, inner) == (True, False, "commoncrawl/crawl-data/x")
    assert paths.address_of("s3://mine/x") == "s3://mine/x"
