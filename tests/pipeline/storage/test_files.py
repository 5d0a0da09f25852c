"""Files on disk, on a web server that misbehaves, and in an object store; writes that are whole or absent."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.storage import StorageError, files
from tests.pipeline.servers import Web, serve

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(files, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(files, "BLOCK", 50_000)
    (tmp_path / "file.bin").write_bytes(CONTENT)
    with serve(tmp_path) as server:
        yield server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("crawl")
    yield "s3://crawl"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


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


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Path(path).write_text("old")
    with pytest.raises(RuntimeError):
        _write_half(path)
    assert os.listdir(tmp_path) == ["x"]
    assert Path(path).read_text() == "old"


def test_written_files_have_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with storage.write_atomically(str(tmp_path / "x")):
        pass
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_errors_say_what_and_where(tmp_path: Path) -> None:
    for action in (storage.size, storage.read_bytes, storage.list_files):
        with pytest.raises(StorageError, match="missing: no such file"):
            action(str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="/dev/null: cannot write it"), storage.write_atomically("/dev/null/x"):
        pass
    with pytest.raises(StorageError, match="nosuch://x: cannot open nosuch://"):
        storage.size("nosuch://x")


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        _write_to_a_full_disk(str(tmp_path / "x"))
    assert os.listdir(tmp_path) == []


def test_another_file_that_fails_meanwhile_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="/nowhere/y: no such file"), storage.write_atomically(str(tmp_path / "x")):
        Path("/nowhere/y").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x").touch(mode=0o000)
    with pytest.raises(StorageError, match="no permission to read"):
        storage.read_bytes(str(tmp_path / "x"))


def test_errors_of_the_system_keep_their_text(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=os.strerror(errno.EISDIR)):
        storage.read_bytes(str(tmp_path))


# --- web -------------------------------------------------------------------------------------------------------------


def test_a_web_server_is_read_by_ranges(web: Web) -> None:
    url = f"{web.url}/file.bin"
    assert storage.exists(url)
    assert not storage.exists(f"{web.url}/missing")
    assert not storage.is_folder(url)
    assert web.sent == 0  # nothing was fetched to find that out
    assert storage.size(url) == len(CONTENT)
    web.sent = 0
    with storage.open_binary(url, 200_000, 200_100) as file:
        assert file.read(100) == CONTENT[200_000:200_100]
        assert web.sent == 100  # not a byte more than was asked for
        assert file.read() == CONTENT[200_100:]
        file.seek(-10, os.SEEK_END)
        assert file.read() == CONTENT[-10:]
        file.seek(0)
        assert file.read(5) == CONTENT[:5]
    assert storage.read_bytes(url) == CONTENT


@pytest.mark.parametrize("failure", [429, 500, 503, "reset", "short"])
def test_a_busy_server_is_asked_again(web: Web, failure: int | str) -> None:
    url = f"{web.url}/file.bin"
    with storage.open_binary(url) as file:
        web.failures = [failure] * 3
        assert file.read(60_000) == CONTENT[:60_000]
        web.failures = [failure]
        assert file.read() == CONTENT[60_000:]


@pytest.mark.parametrize("failure", [503, "reset"])
def test_a_busy_server_is_not_taken_for_a_missing_file(web: Web, failure: int | str) -> None:
    for ask in (storage.size, storage.exists, storage.read_bytes):
        web.failures = [failure] * 3
        assert ask(f"{web.url}/file.bin") in (len(CONTENT), True, CONTENT)
    web.failures = [failure] * 100
    with pytest.raises(StorageError, match=r"file\.bin: cannot find it \("):
        storage.exists(f"{web.url}/file.bin")


def test_a_server_that_stays_busy_is_given_up(web: Web) -> None:
    with storage.open_binary(f"{web.url}/file.bin") as file:
        web.failures = [503] * 100
        web.requests.clear()
        with pytest.raises(StorageError, match=r"file\.bin: cannot read it \(the server answered 503\)"):
            file.read()
        assert web.requests["GET"] == files.TRIES


def test_a_server_that_does_not_exist_is_said_so(web: Web) -> None:
    with pytest.raises(StorageError, match=r"http://nowhere\.invalid/x: cannot read it \("):
        storage.size("http://nowhere.invalid/x")


def test_a_refusal_is_not_repeated(web: Web) -> None:
    with storage.open_binary(f"{web.url}/file.bin") as file:
        web.failures = [403] * 100
        web.requests.clear()
        with pytest.raises(StorageError, match="403"):
            file.read()
        assert web.requests["GET"] == 1
    web.failures.clear()
    with pytest.raises(StorageError, match="no such file"):
        storage.size(f"{web.url}/missing")


def test_a_server_that_says_forbidden_when_it_means_slower_is_asked_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 403 in files._BUSY_AT["data.commoncrawl.org"]
    monkeypatch.setattr(files, "_BUSY_AT", {web.url.removeprefix("http://"): {403}})
    web.failures = [403] * 3
    assert storage.read_bytes(f"{web.url}/file.bin") == CONTENT


def test_a_server_without_ranges_serves_small_files(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.ranges = False
    with storage.open_binary(f"{web.url}/file.bin", 100_000) as file:
        assert file.read() == CONTENT[100_000:]
    monkeypatch.setattr(files, "BLOCK", 1000)
    with (
        storage.open_binary(f"{web.url}/file.bin") as file,
        pytest.raises(StorageError, match="ignores range requests"),
    ):
        file.read()


# --- object store ----------------------------------------------------------------------------------------------------


def test_an_object_store(bucket: str) -> None:
    path = storage.join(bucket, "a", "b.bin")
    assert path == "s3://crawl/a/b.bin"
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
    with pytest.raises(StorageError, match="no such file"):
        storage.read_bytes(f"{bucket}/missing")
    storage.remove(path)
    storage.remove(path)
    assert storage.list_files(bucket) == []


@pytest.mark.parametrize("failure", [500, 502, 503, 504, "reset"])
def test_a_busy_object_store_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int | str
) -> None:
    """Without the help of Amazon's own client, which gives up after a few tries."""
    import s3fs

    monkeypatch.setattr(files, "FIRST_PAUSE", 0.001)
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


def test_an_object_store_that_is_away_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(files, "TRIES", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match=r"s3://crawl/x: cannot read it \(.*127\.0\.0\.1:9"):
        storage.size("s3://crawl/x")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    files._aws_credentials.cache_clear()
    yield
    files._aws_credentials.cache_clear()


def test_common_crawls_bucket_is_read_without_credentials(
    web: Web, no_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files._address("s3://commoncrawl/crawl-data/x") == "https://data.commoncrawl.org/crawl-data/x"
    monkeypatch.setattr(files, "_COMMON_CRAWL_WEB", f"{web.url}/")
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


def test_with_credentials_the_bucket_itself_is_asked(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    fs, inner = files._remote("s3://commoncrawl/crawl-data/x")
    assert ("s3" in fs.protocol, fs.anon, inner) == (True, False, "commoncrawl/crawl-data/x")
    assert files._address("s3://mine/x") == "s3://mine/x"


# --- helpers ---------------------------------------------------------------------------------------------------------


def _write_half(path: str) -> None:
    with storage.write_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError


def _write_to_a_full_disk(path: str) -> None:
    with storage.write_atomically(path), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
