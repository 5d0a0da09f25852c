"""List and delete whole folders with few requests: an object store lists and deletes a thousand files at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from pipeline.storage.causes import is_missing
from pipeline.storage.errors import StorageError, explain_errors
from pipeline.storage.files import remove
from pipeline.storage.paths import is_remote, join, local_path
from pipeline.storage.remote import open_filesystem, request
from pipeline.storage.threads import in_threads

DELETE_BATCH = 1000  # files in one delete request; the most that S3 accepts


def file_sizes(folder: str) -> dict[str, int]:
    """Bytes of every file below a folder, by its path in it; empty where there is no such folder."""
    with explain_errors(folder, "list"):
        if not is_remote(folder):
            return dict(_scan(local_path(folder)))
        try:
            return request(folder, _find)
        except Exception as error:
            if is_missing(error):
                return {}
            raise


def _find(filesystem: Any, folder: str) -> dict[str, int]:
    prefix = folder.rstrip("/") + "/"
    found = filesystem.find(folder, detail=True)
    return {name.removeprefix(prefix): int(info["size"]) for name, info in found.items()}


def _scan(folder: str, below: str = "") -> Iterator[tuple[str, int]]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.is_dir():
                yield from _scan(entry.path, f"{below}{entry.name}/")
            else:
                with suppress(FileNotFoundError):  # deleted since the folder was read
                    yield below + entry.name, entry.stat().st_size


def remove_folder(folder: str) -> None:
    """Deletes every file below a folder, and on a disk the folders too; a missing folder is fine."""
    if not is_remote(folder):
        shutil.rmtree(local_path(folder), ignore_errors=True)
        return
    paths = [join(folder, name) for name in file_sizes(folder)]
    in_threads(_remove_batch, [paths[start : start + DELETE_BATCH] for start in range(0, len(paths), DELETE_BATCH)])


def _remove_batch(paths: Sequence[str]) -> None:
    """One request; if it fails, for a file that somebody else has deleted for example, one request per file."""
    try:
        with explain_errors(paths[0], "delete"):
            inner = [open_filesystem(path)[1] for path in paths]
            request(paths[0], lambda fs, _: fs.rm(inner))
    except StorageError:
        for path in paths:
            remove(path)
