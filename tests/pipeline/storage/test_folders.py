"""Listing and deleting whole folders, and the number of requests."""

from __future__ import annotations

from uuid import uuid4

import pytest

from pipeline import storage
from pipeline.storage import remote


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path) -> str:
    return str(tmp_path / "folder") if request.param == "local" else f"memory://{uuid4().hex}/folder"


def write(folder: str, *names: str) -> None:
    for name in names:
        with storage.write_atomically(storage.join(folder, name)) as file:
            file.write(name.encode())


def test_sizes_of_all_files_by_their_path_in_the_folder(folder):
    write(folder, "a", "b/cc", "b/c/ddd")
    assert storage.file_sizes(folder) == {"a": 1, "b/cc": 4, "b/c/ddd": 7}


def test_a_folder_that_does_not_exist_has_no_files(folder):
    assert storage.file_sizes(folder) == {}
    storage.remove_folder(folder)


def test_a_folder_is_deleted_and_its_neighbors_are_not(folder):
    write(folder, "a", "b/cc")
    write(f"{folder}-2", "a")
    storage.remove_folder(folder)
    assert storage.file_sizes(folder) == {}
    assert storage.file_sizes(f"{folder}-2") == {"a": 1}


def test_a_thousand_files_take_a_few_requests(monkeypatch):
    folder, requests, retry = f"memory://{uuid4().hex}/folder", [], remote.retry
    write(folder, *map(str, range(1000)))
    monkeypatch.setattr("pipeline.storage.remote.retry", lambda *call: [requests.append(1), retry(*call)][1])
    storage.remove_folder(folder)
    assert storage.file_sizes(folder) == {}
    assert len(requests) == 3
