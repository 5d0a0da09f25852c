"""Writes that become visible as a whole file or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.storage.errors import explain_errors
from pipeline.storage.paths import is_remote, local_path
from pipeline.storage.remote import request


@contextmanager
def write_atomically(path: str) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` when the block ends; if the block fails, no file is left.

    Local: a temporary file in the same folder, flushed to the disk and renamed. Remote: a temporary file on the local
    disk, then one upload; an object store shows a file only after the whole upload.
    """
    with explain_errors(path, "write"), _write_remote(path) if is_remote(path) else _write_local(path) as file:
        yield file


@contextmanager
def _write_local(path: str) -> Iterator[BinaryIO]:
    path = local_path(path)
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".tmp", dir=folder or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives no permissions to group and others
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _write_remote(path: str) -> Iterator[BinaryIO]:
    with tempfile.NamedTemporaryFile(prefix="gristmill-") as file:
        yield cast(BinaryIO, file)
        file.flush()
        request(path, lambda fs, inner: fs.put_file(file.name, inner))


def create_exclusively(path: str, content: bytes) -> bool:
    """Writes a small file unless it exists; of several processes that call this, one gets True."""
    with explain_errors(path, "write"):
        try:
            if is_remote(path):
                request(path, lambda fs, inner: fs.pipe_file(inner, content, mode="create"))
            else:
                _create_local(local_path(path), content)
        except FileExistsError:
            return False
        return True


def _create_local(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "xb") as file:
        file.write(content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
