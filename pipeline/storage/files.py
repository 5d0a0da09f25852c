"""Files on any storage: find, list, open, delete. Local paths go through the operating system, URLs through fsspec."""

from __future__ import annotations

import errno
import fnmatch
import io
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, BinaryIO, cast

from pipeline import effects
from pipeline.storage.causes import is_missing
from pipeline.storage.errors import StorageError, explain_errors, say_role
from pipeline.storage.object_store import list_sizes
from pipeline.storage.paths import COMMON_CRAWL, is_remote, is_web, local_path
from pipeline.storage.remote import find, open_filesystem, request
from pipeline.storage.remote_file import RemoteFile

_BUFFER = 1 << 16  # bytes
_WILDCARD = re.compile(r"[*?\[]")


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    with explain_errors(path, "find"):
        if not is_remote(path):
            return effects.exists(local_path(path))
        try:  # fs.exists() of a web server is False also when the server is busy
            return bool(find(path, lambda fs, inner: fs.info(inner)))
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
            return bool(find(path, lambda fs, inner: fs.isdir(inner)))
        return effects.is_folder(local_path(path))


def size(path: str) -> int:
    """The size of a file in bytes."""
    with explain_errors(path, "read"):
        if not is_remote(path):
            return effects.size(local_path(path))
        found = find(path, lambda fs, inner: fs.size(inner))
        if found is None:
            raise StorageError(f"{path}: the server does not report its size; download it and pass the local copy")
        return int(found)


def modification_time(path: str) -> float:
    """Seconds since 1970 when the file was written, by the clock of its storage."""
    with explain_errors(path, "read"):
        if not is_remote(path):
            return effects.modification_time(local_path(path))
        info = find(path, lambda fs, inner: fs.info(inner))
        found = next((info[name] for name in ("LastModified", "mtime", "updated", "created") if info.get(name)), 0.0)
        found = datetime.fromisoformat(found) if isinstance(found, str) else found
        return found.timestamp() if isinstance(found, datetime) else float(found)


def open_binary(path: str, start: int = 0, end: int | None = None, length: int | None = None) -> BinaryIO:
    """A seekable reader at position `start`.

    `end` is a hint: bytes beyond it are fetched only if they are read. A given `length` saves the request for it.
    """
    with explain_errors(path, "read"):
        if is_remote(path):
            remote = RemoteFile(path, size(path) if length is None else length, end)
            remote.seek(start)
            return cast(BinaryIO, io.BufferedReader(remote, buffer_size=_BUFFER))
        file = effects.open_file(local_path(path))
        file.seek(start)
        return file


def read_bytes(path: str) -> bytes:
    """The whole file. Raises StorageError where an object store sends less of it, or more."""
    content = read_unchecked(path)
    if is_remote(path) and not is_web(path) and len(content) != (whole := size(path)):
        raise StorageError(f"{path}: has {whole} bytes, got {len(content)}; run the command again")
    return content


def read_unchecked(path: str) -> bytes:
    """The whole file by one request on an object store: for JSON, which is no JSON any more when its end is missing."""
    if is_remote(path) and not is_web(path):
        with explain_errors(path, "read"):
            # s3fs would request the size first, to split large files.
            options = {"max_concurrency": 1} if path.startswith("s3://") else {}
            return bytes(request(path, lambda fs, inner: fs.cat_file(inner, **options)))
    with open_binary(path) as file, explain_errors(path, "read"):
        return effects.read_fully(file)


def read_named(path: str | os.PathLike[str], role: str) -> bytes:
    """A file that the settings name; a StorageError begins with its role: "word list PATH: ..."."""
    with say_role(role):
        return read_bytes(os.fspath(path))


def glob_files(pattern: str) -> list[str]:
    """Files (no folders) that match, sorted; `**` crosses folders."""
    with explain_errors(pattern, "list"):
        if is_web(pattern):
            why = " without AWS credentials" if pattern.startswith(COMMON_CRAWL) else ""
            raise StorageError(f"{pattern}: cannot be searched{why}; pass a warc.paths.gz listing or single files")
        if is_remote(pattern):
            return find(pattern, _glob_remote)
        return sorted(set(_find_local("", local_path(pattern).split("/"))))


def _find_local(folder: str, names: Sequence[str]) -> Iterator[str]:
    """Unlike with Python's glob, an error of the disk or of permissions makes no files disappear."""
    name, rest = names[0], names[1:]
    path = os.path.join(folder, name)
    if not _WILDCARD.search(name):
        if rest:
            yield from _find_local(path or "/", rest)
        elif name and effects.exists(path) and not effects.is_folder(path):
            yield path
        return
    if name == "**":
        yield from _find_local(folder, rest or ("*",))
    for entry in effects.list_folder(folder or "."):
        path = os.path.join(folder, entry.name)
        if entry.name.startswith(".") and not name.startswith("."):  # hidden, as in a shell
            continue
        if name == "**" and entry.is_folder:
            yield from _find_local(path, names)
        elif name != "**" and fnmatch.fnmatchcase(entry.name, name):
            if entry.is_folder and rest:
                yield from _find_local(path, rest)
            elif not entry.is_folder and not rest:
                yield path


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
        if not effects.is_folder(local_path(folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
        return sorted(_walk(local_path(folder)))


def _walk(folder: str) -> Iterator[str]:
    for entry in effects.list_folder(folder):
        path = os.path.join(folder, entry.name)
        if not entry.is_folder:
            yield path
        elif not entry.is_link:
            yield from _walk(path)


def list_names(folder: str) -> list[str]:
    """Names of the files and folders directly in a folder, sorted; none where it does not exist."""
    with explain_errors(folder, "list"):
        if not is_remote(folder):
            return [entry.name for entry in effects.list_folder(local_path(folder))]
        try:
            paths = find(folder, lambda fs, inner: fs.ls(inner, detail=False))
        except Exception as error:
            if is_missing(error):
                return []
            raise
        return sorted({path.rstrip("/").rsplit("/", 1)[-1] for path in paths})


def make_folder(path: str) -> None:
    """Creates a folder and its parents; does nothing on an object store, which has no folders."""
    if not is_remote(path):
        with explain_errors(path, "create"):
            effects.make_folder(local_path(path))


def remove(path: str) -> None:
    """Deletes a file, if it exists."""
    with explain_errors(path, "delete"):
        if not is_remote(path):
            effects.delete_file(local_path(path))
            return
        try:
            request(path, lambda fs, inner: fs.rm_file(inner))
        except Exception as error:
            if not is_missing(error):
                raise
