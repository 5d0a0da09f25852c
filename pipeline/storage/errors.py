"""Errors of files and storage: one line that names the file, the cause, and what to do."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from classifiers.errors import NO_ACCESS, NO_SPACE
from pipeline import effects
from pipeline.errors import AccessError, DiskFullError, FileError, MissingFileError
from pipeline.storage.causes import http_status, is_missing, is_storage_failure, root_cause
from pipeline.storage.paths import COMMON_CRAWL, is_remote, local_path


class StorageError(FileError):
    """A file cannot be read or written."""


class NoSuchFileError(StorageError, MissingFileError):
    """A file or folder does not exist."""

    exit_code = MissingFileError.exit_code


class StorageFullError(StorageError, DiskFullError):
    """A file cannot be written because its disk is full."""


class StorageAccessError(StorageError, AccessError):
    """A file cannot be read or written for lack of permission."""


class DamagedFileError(StorageError):
    """A file can be read, but its content is truncated or of another format."""


@contextmanager
def explain_errors(path: str, verb: str) -> Iterator[None]:
    """Turns errors of the operating system and of storage clients in this block into StorageError; others pass through.

    `verb` completes "cannot ... it": find, read, list, create, write or delete.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        cause = root_cause(error)
        if not is_storage_failure(cause):
            raise
        where = _failed_file(path, cause)
        if is_missing(cause):
            raise NoSuchFileError(f"{where}: no such file or folder; check the spelling") from error
        raise _kind_of(cause)(f"{where}: {_explain(path, verb, cause)}") from error


@contextmanager
def say_role(role: str) -> Iterator[None]:
    """Puts before the message of a StorageError what the file is for, and keeps its class, which is its exit code."""
    try:
        yield
    except StorageError as error:
        raise type(error)(f"{role} {error.message}") from error


def _kind_of(error: BaseException) -> type[StorageError]:
    number = getattr(error, "errno", None)
    if number in NO_SPACE:
        return StorageFullError
    is_forbidden = isinstance(error, PermissionError) or number in NO_ACCESS or http_status(error) in (401, 403)
    return StorageAccessError if is_forbidden else StorageError


def _explain(path: str, verb: str, error: BaseException) -> str:
    if isinstance(error, PermissionError):
        if path.startswith(COMMON_CRAWL):
            return "no permission with these AWS credentials; use https://data.commoncrawl.org/ instead"
        return f"no permission to {verb} it; check its owner and mode"
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"cannot {verb} it: the disk is mounted read-only"
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return f"the disk is full{_free_space(path)}; free some space and run again"
    status = http_status(error)
    why = f"the server answered {status}" if status else getattr(error, "strerror", None) or str(error)
    return f"cannot {verb} it ({' '.join(why.split()) or type(error).__name__})"


def _failed_file(path: str, error: BaseException) -> str:
    """The file that the error names; `path` if that is a temporary file beside it."""
    named = str(getattr(error, "filename", None) or path)
    return path if os.path.dirname(named) == os.path.dirname(local_path(path)) else named


def _free_space(path: str) -> str:
    """How much is left, as far as the disk tells."""
    with suppress(OSError):
        folder = tempfile.gettempdir() if is_remote(path) else _existing_parent(path)  # uploads are prepared there
        return f" ({effects.free_bytes(folder) >> 20} MiB free at {folder})"
    return ""


def _existing_parent(path: str) -> str:
    folder = Path(local_path(path)).absolute()
    while not effects.exists(str(folder)):
        folder = folder.parent
    return str(folder)
