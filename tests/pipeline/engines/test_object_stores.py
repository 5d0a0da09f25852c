"""WARC input and all outputs on s3:// and gs://, with throttling, cut connections, a kill in mid-run and resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import fsspec
import pytest

from pipeline import storage
from pipeline.reading.inputs import resolve_inputs
from pipeline.storage import retries
from tests.conftest import MINICRAWL, ROOT
from tests.pipeline.engines.gcs import serve_gcs
from tests.pipeline.engines.s3 import serve_s3

SMALL = ("--set", "prepare.unit_bytes=40000")


class Google:
    """The fake of Google's store with the interface of `tests.pipeline.engines.s3.Bucket`."""

    scheme = "gs"

    def __init__(self, store) -> None:
        self.store = store
        self.environment = store.environment

    def put(self, name: str, content: bytes) -> None:
        self.store.put("grist", name, content)

    def names(self, prefix: str) -> list[str]:
        return sorted(name for _, name in list(self.store.objects) if name.startswith(prefix))

    def read(self, name: str) -> bytes:
        return self.store.objects["grist", name]

    def disturb(self, every: int) -> None:
        self.store.trouble_every = every


class Amazon:
    scheme = "s3"

    def __init__(self, bucket) -> None:
        self.bucket = bucket
        self.environment, self.put, self.names, self.read = bucket.environment, bucket.put, bucket.names, bucket.read

    def disturb(self, every: int) -> None:
        self.bucket.trouble_every = every


@pytest.fixture(params=["s3", "gs"])
def store(request, monkeypatch):
    serve, face = (serve_s3, Amazon) if request.param == "s3" else (serve_gcs, Google)
    with serve() as served:
        faced = face(served)
        for name, value in faced.environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class(request.param).clear_instance_cache()  # else: the previous test's server
        yield faced


@pytest.fixture(scope="module")
def local_hash(tmp_path_factory, gristmill) -> str:
    output = tmp_path_factory.mktemp("local") / "out"
    gristmill("curate", MINICRAWL, "--output", output, *SMALL)
    return json.loads((output / "manifest.json").read_text())["content_hash"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_disturbed_and_killed_run_ends_with_the_local_content(store, local_hash, gristmill):
    for path in sorted(MINICRAWL.iterdir()):
        store.put(f"in/{path.name}", path.read_bytes())
    command = [
        "curate",
        f"{store.scheme}://grist/in",
        "--output",
        f"{store.scheme}://grist/out",
        "--workers",
        "2",
        *SMALL,
    ]
    run = subprocess.Popen(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *command],
        cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    while len([name for name in store.names("out/work/") if "/tally/" in name]) < 3:
        assert run.poll() is None, run.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert "out/manifest.json" not in store.names("out/")
    store.disturb(every=23)
    gristmill(*command)
    store.disturb(every=0)
    assert json.loads(store.read("out/manifest.json"))["content_hash"] == local_hash
    left = store.names("out/")
    assert not [name for name in left if "tmp" in name]
    assert {name.split("/")[3] for name in left if "/work/" in name} == {"drops", "extracted", "staged", "tally"}
    assert {name.split("/")[1] for name in left} >= {"manifest.json", "report.json", "shards", "drops", "sketches"}


def test_thousands_of_keys_are_listed_completely(store):
    for number in range(2500):
        store.put(f"many/{number:05d}.warc.gz", b"x")
    folder = f"{store.scheme}://grist/many"
    assert len(storage.list_files(folder)) == 2500
    assert len(storage.glob_files(f"{folder}/000*.warc.gz")) == 100
    assert len(resolve_inputs([f"{folder}/00*"], prefix=None, limit=None)) == 1000


def test_of_two_that_create_a_lock_one_fails(store):
    path = f"{store.scheme}://grist/a.lock"
    assert storage.create_exclusively(path, b"first")
    assert not storage.create_exclusively(path, b"second")
    assert storage.read_bytes(path) == b"first"


def test_a_failed_write_leaves_no_file(store):
    def half() -> None:
        with storage.write_atomically(f"{store.scheme}://grist/half") as file:
            file.write(b"x" * 100_000)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert store.names("half") == []


def test_throttling_and_cut_connections_are_retried(store, monkeypatch):
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
    content = bytes(range(256)) * 4000
    store.disturb(every=2)
    with storage.write_atomically(f"{store.scheme}://grist/file") as file:
        file.write(content)
    assert storage.read_bytes(f"{store.scheme}://grist/file") == content


def test_a_folder_is_deleted_in_batches(store):
    for number in range(1500):
        store.put(f"many/{number:05d}", b"x")
    store.put("many-others/0", b"x")
    storage.remove_folder(f"{store.scheme}://grist/many")
    assert store.names("many") == ["many-others/0"]
