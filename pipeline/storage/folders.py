"""List and delete whole folders with few requests: an object store lists and deletes a thousand files at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress

from pipeline.storage.files import (
    StorageError,
    _is_missing,
    _local,
    _remote,
    _retry,
    explained,
    is_remote,
    join,
    remove,
)
from pipeline.storage.threads import in_threads

DELETE_BATCH = 1000  # files in one delete request; the most that S3 accepts


def file_sizes(folder: str) -> dict[str, int]:
    """Bytes of every file below a folder, by its path in it; empty where there is no such folder."""
    with explained(folder, "list"):
        if not is_remote(folder):
            return dict(_scan(_local(folder)))
        fs, inner = _remote(folder)
        try:
            found = _retry(folder, lambda: fs.find(inner, detail=True))
        except Exception as error:
            if _is_missing(error):
                return {}
            raise
        prefix = inner.rstrip("/") + "/"
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
        shutil.rmtree(_local(folder), ignore_errors=True)
        return
    paths = [join(folder, name) for name in file_sizes(folder)]
    in_threads(_remove_batch, [paths[start : start + DELETE_BATCH] for start in range(0, len(paths), DELETE_BATCH)])


def _remove_batch(paths: Sequence[str]) -> None:
    """One request; if it fails, for a file that somebody else has deleted for example, one request per file."""
    try:
        with explained(paths[0], "delete"):
            fs, _ = _remote(paths[0])
            _retry(paths[0], lambda: fs.rm([_remote(path)[1] for path in paths]))
    except StorageError:
        for path in paths:
            remove(path)
