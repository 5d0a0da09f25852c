"""List and delete whole folders with few requests: an object store lists and deletes a thousand files at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from pipeline import effects
from pipeline.storage.causes import is_missing
from pipeline.storage.errors import StorageError, explain_errors
from pipeline.storage.files import remove
from pipeline.storage.object_store import BATCH, delete_files, list_sizes
from pipeline.storage.paths import is_remote, join, local_path
from pipeline.storage.threads import map_in_threads


def file_sizes(folder: str) -> dict[str, int]:
    """Bytes of every file below a folder, by its path in it; empty where there is no such folder."""
    if is_remote(folder):
        return dict(_list_remote(folder))
    with explain_errors(folder, "list"):
        return dict(_scan(local_path(folder)))


def _list_remote(folder: str) -> Iterator[tuple[str, int]]:
    with explain_errors(folder, "list"):
        try:
            yield from list_sizes(folder)
        except Exception as error:
            if not is_missing(error):
                raise


def _scan(folder: str, below: str = "") -> Iterator[tuple[str, int]]:
    for entry in effects.list_folder(folder):
        path = os.path.join(folder, entry.name)
        if entry.is_folder:
            yield from _scan(path, f"{below}{entry.name}/")
        else:
            with suppress(FileNotFoundError):  # deleted since the folder was read
                yield below + entry.name, effects.size(path)


def remove_folder(folder: str) -> None:
    """Deletes every file below a folder, and on a disk the folders too; a missing folder is fine."""
    if not is_remote(folder):
        with explain_errors(folder, "delete"):
            effects.delete_folder(local_path(folder))
        return
    remove_files(join(folder, name) for name, _ in _list_remote(folder))


def remove_files(paths: Iterable[str]) -> None:
    """Deletes files of one folder or bucket, as far as they exist; an object store deletes a thousand at a time."""
    for _ in map_in_threads(_remove_batch, _batches(iter(paths))):
        pass


def remove_empty_folder(folder: str) -> None:
    """Deletes a folder on a disk if nothing is in it."""
    if not is_remote(folder):
        with explain_errors(folder, "delete"):
            effects.delete_empty_folder(local_path(folder))


def _batches(paths: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(paths, BATCH)):
        yield batch


def _remove_batch(paths: Sequence[str]) -> None:
    """One request; if it fails, for a file that somebody else has deleted for example, one request per file."""
    if not is_remote(paths[0]):
        for path in paths:
            remove(path)
        return
    try:
        with explain_errors(paths[0], "delete"):
            delete_files(paths)
    except StorageError:
        for path in paths:
            remove(path)
