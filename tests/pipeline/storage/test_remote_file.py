"""Range requests: only the requested bytes are fetched; servers that ignore ranges."""

from __future__ import annotations

import os

import pytest

from pipeline import storage
from pipeline.storage import StorageError, remote_file
from tests.pipeline.servers import Web
from tests.pipeline.storage.conftest import CONTENT


def test_a_web_server_is_read_by_range_requests(web: Web) -> None:
    url = f"{web.url}/file.bin"
    assert storage.exists(url)
    assert not storage.exists(f"{web.url}/missing")
    assert not storage.is_folder(url)
    assert web.sent == 0  # these calls transfer no content
    assert storage.size(url) == len(CONTENT)
    web.sent = 0
    with storage.open_binary(url, 200_000, 200_100) as file:
        assert file.read(100) == CONTENT[200_000:200_100]
        assert web.sent == 100  # only the requested bytes
        assert file.read() == CONTENT[200_100:]
        file.seek(-10, os.SEEK_END)
        assert file.read() == CONTENT[-10:]
        file.seek(0)
        assert file.read(5) == CONTENT[:5]
    assert storage.read_bytes(url) == CONTENT


def test_a_server_without_range_requests_serves_small_files(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.ranges = False
    with storage.open_binary(f"{web.url}/file.bin", 100_000) as file:
        assert file.read() == CONTENT[100_000:]
    monkeypatch.setattr(remote_file, "BLOCK", 1000)
    with (
        storage.open_binary(f"{web.url}/file.bin") as file,
        pytest.raises(StorageError, match="ignores range requests"),
    ):
        file.read()
