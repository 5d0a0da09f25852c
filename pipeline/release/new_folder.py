"""The folder that `gristmill release` writes into: a new one, so that nothing of others is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline import storage
from pipeline.errors import UserError
from pipeline.publishing.manifest import check_kept, check_parts
from pipeline.storage.layout import Layout
from pipeline.storage.lease import hold_lease
from pipeline.storage.own_files import check_apart, is_lock


@contextmanager
def open_new_folder(output: str, target: str) -> Iterator[None]:
    """Holds the lease of a new folder for files about a finished output while the block runs.

    Raises as check_kept and check_parts for the output, and UserError for a folder that is not empty, is a file or
    overlaps with the output.
    """
    check_kept(output)
    check_parts(Layout(output), ("shards",))
    check_apart(target, [output])
    _check_new(target)  # before the lease, which writes
    with hold_lease(Layout(target).lease):
        _check_new(target)
        yield


def _check_new(target: str) -> None:
    """Raises UserError for a folder in which there is more than a lease."""
    if not storage.is_remote(target) and storage.exists(target) and not storage.is_folder(target):
        raise UserError(f"{target}: is a file; name a new folder")
    if not all(map(is_lock, storage.list_names(target))):
        raise UserError(f"{target}: is not empty; choose a new folder")
