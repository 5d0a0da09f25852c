"""Files on any storage: find, list, open, delete. Local paths go through the operating system, URLs through fsspec."""

from __future__ import annotations

import glob
import io
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipeline.storage.causes import is_missing
from pipeline.storage.errors import StorageError, explain_errors
from pipeline.storage.object_store import list_sizes
from pipeline.storage.paths import COMMON_CRAWL, is_remote, is_web, local_path
from pipeline.storage.remote import open_filesystem, request
from pipeline.storage.remote_file import RemoteFile

_BUFFER = 1 << 16  # bytes


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    with explain_errors(path, "find"):
        if not is_remote(path):
            return os.path.exists(local_path(path))
        try:  # fs.exists() of a web server is False also when the server is busy
            return bool(request(path, lambda fs, inner: fs.info(inner)))
        except Exception as error:
            if is_missing(error):
                return False
            raise


def is_folder(path: str) -> bool:
    """False on web servers: fsspec would have to fetch the whole file and look for links in it."""
    if is_web(path):
        return False
    with explain_errors(path, "find"):
        if is_remote(path):
            return bool(request(path, lambda fs, inner: fs.isdir(inner)))
        return os.path.isdir(local_path(path))


def size(path: str) -> int:
    """The size of a file in bytes."""
    with explain_errors(path, "read"):
        if not is_remote(path):
            return os.stat(local_path(path)).st_size
        found = request(path, lambda fs, inner: fs.size(inner))
        if found is None:
            raise StorageError(f"{path}: the server does not report its size; download it and pass the local copy")
        return int(found)


def open_binary(path: str, start: int = 0, end: int | None = None, length: int | None = None) -> BinaryIO:
    """A seekable reader at position `start`.

    `end` is a hint: bytes beyond it are fetched only if they are read. A given `length` saves the request for it.
    """
    with explain_errors(path, "read"):
        if is_remote(path):
            remote = RemoteFile(path, size(path) if length is None else length, end)
            remote.seek(start)
            return cast(BinaryIO, io.BufferedReader(remote, buffer_size=_BUFFER))
        file = open(local_path(path), "rb")  # noqa: SIM115 - the caller closes it
        file.seek(start)
        return file


def read_bytes(path: str) -> bytes:
    """The whole file; one request on an object store."""
    if is_remote(path) and not is_web(path):
        with explain_errors(path, "read"):
            # s3fs would request the size first, to split large files.
            options = {"max_concurrency": 1} if path.startswith("s3://") else {}
            return bytes(request(path, lambda fs, inner: fs.cat_file(inner, **options)))
    with open_binary(path) as file, explain_errors(path, "read"):
        return file.read()


def glob_files(pattern: str) -> list[str]:
    """Files (no folders) that match, sorted; `**` crosses folders."""
    with explain_errors(pattern, "list"):
        if is_web(pattern):
            why = " without AWS credentials" if pattern.startswith(COMMON_CRAWL) else ""
            raise StorageError(f"{pattern}: cannot be searched{why}; pass a warc.paths.gz listing or single files")
        if is_remote(pattern):
            return request(pattern, _glob_remote)
        return sorted(path for path in glob.glob(local_path(pattern), recursive=True) if os.path.isfile(path))


def _glob_remote(filesystem: Any, pattern: str) -> list[str]:
    found = filesystem.glob(pattern, detail=True)
    return sorted(filesystem.unstrip_protocol(name) for name, info in found.items() if info["type"] == "file")


def list_files(folder: str) -> list[str]:
    """All files below a folder, at any depth, sorted."""
    with explain_errors(folder, "list"):
        if is_remote(folder):
            filesystem, inner = open_filesystem(folder)
            base = filesystem.unstrip_protocol(inner.rstrip("/"))
            return sorted(f"{base}/{name}" for name, _ in list_sizes(folder))
        walk = os.walk(local_path(folder), onerror=_raise)
        return sorted(os.path.join(where, name) for where, _, names in walk for name in names)


def _raise(error: OSError) -> None:
    raise error


def make_folder(path: str) -> None:
    """Creates a folder and its parents; does nothing on an object store, which has no folders."""
    if not is_remote(path):
        with explain_errors(path, "create"):
            os.makedirs(local_path(path), exist_ok=True)


def remove(path: str) -> None:
    """Deletes a file, if it exists."""
    with explain_errors(path, "delete"):
        if not is_remote(path):
            Path(local_path(path)).unlink(missing_ok=True)
            return
        try:
            request(path, lambda fs, inner: fs.rm_file(inner))
        except Exception as error:
            if not is_missing(error):
                raise
