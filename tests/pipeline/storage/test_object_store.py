"""Listings and deletes on fakes of S3 and Google's store, with throttling and cut connections."""

from __future__ import annotations

import tracemalloc

import fsspec
import pytest

from pipeline import storage
from pipeline.storage import object_store, retries
from pipeline.storage.object_store import delete_files, list_sizes
from tests.pipeline.engines.gcs import serve_gcs
from tests.pipeline.engines.s3 import serve_s3

NAMES = [f"{n:02d}.bin" for n in range(20)] + ["below/a", "below/b/c"]


@pytest.fixture(params=["s3", "gs"])
def served(request, monkeypatch):
    """The protocol and the fake server, which answers every third request with an error once it is disturbed."""
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(object_store, "BATCH", 7)
    with (serve_s3 if request.param == "s3" else serve_gcs)() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class(request.param).clear_instance_cache()  # else: the previous test's server
        yield request.param, server
    fsspec.get_filesystem_class(request.param).clear_instance_cache()


@pytest.fixture
def folder(served) -> str:
    protocol, server = served
    for name in [*(f"a/{name}" for name in NAMES), "a/", "a-2/x", "a/empty/"]:
        put = (name, name.encode()) if protocol == "s3" else ("grist", name, name.encode())
        server.put(*put)
    return f"{protocol}://grist/a"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_listing_of_several_pages_has_every_file_once(folder, slash):
    found = list(list_sizes(folder + slash))
    assert sorted(found) == sorted((name, len(f"a/{name}")) for name in NAMES)


def test_a_listing_retries_single_pages(folder, served):
    served[1].trouble_every = 3
    assert sorted(name for name, _ in list_sizes(folder)) == sorted(NAMES)


def test_a_bucket_is_listed_from_its_root(folder):
    assert "a-2/x" in dict(list_sizes(folder.removesuffix("/a")))


def test_paths_of_a_listing_can_be_opened(folder):
    assert storage.list_files(folder) == sorted(f"{folder}/{name}" for name in NAMES)
    assert storage.read_bytes(storage.list_files(folder)[0]) == b"a/00.bin"


def test_a_missing_folder_and_a_missing_bucket_have_no_files(folder, served):
    assert storage.file_sizes(folder + "/missing") == {}
    assert storage.file_sizes(f"{served[0]}://nowhere/a") == {}


def test_deleted_files_are_gone_and_others_are_not(folder):
    delete_files([f"{folder}/{name}" for name in NAMES[:5]])
    assert sorted(storage.file_sizes(folder)) == sorted(NAMES[5:])
    storage.remove_folder(folder)
    assert storage.file_sizes(folder) == {}
    assert storage.file_sizes(folder + "-2") == {"x": 5}


def test_a_refused_delete_is_an_error(monkeypatch):
    class Refusing:
        protocol = ("s3", "s3a")
        split_path = staticmethod(lambda path: (*path.split("/", 1), None))
        call_s3 = staticmethod(lambda *_, **__: {"Errors": [{"Key": "a", "Code": "AccessDenied"}]})

    with pytest.raises(OSError, match="a: AccessDenied"):
        object_store._delete(Refusing(), ["grist/a"])


def test_memory_does_not_grow_with_the_pages(monkeypatch):
    def list_page(filesystem, bucket, prefix, token):
        number = int(token or 0)
        names = [(f"{prefix}{number:04d}-{n:04d}.parquet", n) for n in range(1000)]
        return names, str(number + 1) if number < 99 else None

    monkeypatch.setitem(object_store._PAGE_LISTERS, "memory", list_page)
    filesystem = fsspec.get_filesystem_class("memory")
    monkeypatch.setattr(filesystem, "split_path", lambda self, path: ("x", "y", None), raising=False)
    tracemalloc.start()
    try:
        assert sum(1 for _ in list_sizes("memory://x/y")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
