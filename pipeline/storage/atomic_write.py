"""Writes that become visible as a whole file or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from pipeline import effects
from pipeline.storage.errors import explain_errors
from pipeline.storage.paths import is_remote, local_path
from pipeline.storage.remote import request

TEMPORARY = ".tmp"  # the end of a temporary file's name, which begins with a dot and the name of the file to be


NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # FAT, some network file systems


@contextmanager
def write_atomically(path: str) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` when the block ends; if the block fails, no file is left.

    Local: a temporary file in the same folder, flushed to the disk and renamed; then the folder is flushed, so that
    files appear in the order in which they were written even if the power fails. Remote: a file without a name on the
    local disk, then one upload; an object store shows a file only after the whole upload.
    """
    with explain_errors(path, "write"), _write_remote(path) if is_remote(path) else _write_local(path) as file:
        yield file


@contextmanager
def _write_local(path: str) -> Iterator[BinaryIO]:
    path = local_path(path)
    folder, name = os.path.split(path)
    effects.make_folder(folder or ".")
    file, temporary = effects.create_temporary(folder or ".", f".{name[:100]}.", TEMPORARY)
    try:
        with file:
            yield file
            effects.sync_file(file, temporary)
        effects.set_usual_mode(temporary)
        effects.rename(temporary, path)
    except BaseException:
        with suppress(OSError):  # the error that is under way says more
            effects.delete_file(temporary)
        raise
    effects.sync_folder(folder or ".")


@contextmanager
def _write_remote(path: str) -> Iterator[BinaryIO]:
    with effects.unnamed_file() as (file, local):
        yield file
        file.flush()
        request(path, lambda fs, inner: fs.put_file(local, inner))


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
    """As a link to a complete file, so that nobody sees an empty one; without links, as a new file."""
    folder, name = os.path.split(path)
    effects.make_folder(folder or ".")
    file, temporary = effects.create_temporary(folder or ".", f".{name[:100]}.", TEMPORARY)
    try:
        with file:
            file.write(content)
        effects.set_usual_mode(temporary)
        try:
            effects.link(temporary, path)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with effects.create_file(path) as plain:
                plain.write(content)
    finally:
        with suppress(OSError):
            effects.delete_file(temporary)
