"""The files of an output folder that a run has made, by name: nothing else is ever overwritten or removed.

A folder belongs to a run if it holds a run.json of `gristmill curate`. Any other folder must be empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from functools import cache

from pipeline import storage
from pipeline.errors import UserError
from pipeline.storage.layout import JSONL, PUBLISHED, REMOVALS, Layout, read_json

_PART = re.compile(r"part-\d{5,}\.(parquet|jsonl(\.gz|\.zst)?)")
_WORK = re.compile(r"[0-9a-f]{16}")  # a fingerprint: Layout.key
# What `write_atomically` leaves when its process is killed.
_TEMPORARY = re.compile(
    r"\.(part-\d{5,}\.(parquet|json|jsonl(\.gz|\.zst)?)|manifest\.json|run\.json|report\.(json|html)|README\.md|croissant\.json|push\.json|release\.json|missing\.json|(run|push)\.lock\S*|suppressions\.json|[0-9a-f]{16}\.json)\.\w{8}\.tmp"
)
_LOCK = re.compile(r"(run|push)\.lock(\.\w+)?")
_FOR_RERUNS = ("staged", "drops", "extracted", "tally")  # of the work files
_OF_SYSTEMS = ("lost+found", ".DS_Store")  # in folders that are empty for their owner


def is_part(path: str) -> bool:
    """Whether a file has the name of a published part."""
    return bool(_PART.fullmatch(path.rpartition("/")[2]))


def check_output(layout: Layout, inputs: Iterable[str]) -> None:
    """Raise UserError for an output folder that holds files of others, or that overlaps with an input."""
    check_apart(layout.root, inputs)
    if storage.exists(layout.run):
        run = read_json(layout.run)
        if "identity" in run and "work" in run:
            return
    _check_empty(layout.root)


def check_free(root: str, first: str, key: str) -> None:
    """Raise UserError for a folder that holds files of others: it is empty, or has the first file of its owner.

    That is a JSON object with `key`: others have files of such names as well. A process that was killed while it wrote
    it may have left the folder in which it is, with temporary files.
    """
    path = storage.join(root, first)
    if not (storage.exists(path) and key in read_json(path)):
        folder = first.rpartition("/")[0]
        is_begun = folder and all(map(_TEMPORARY.fullmatch, storage.list_names(storage.join(root, folder))))
        _check_empty(root, folder if is_begun else "")


def is_lock(name: str) -> bool:
    """Whether a file has the name of a lease, or of a claim to one."""
    return bool(_LOCK.fullmatch(name))


def _check_empty(root: str, begun: str = "") -> None:
    """Raises UserError for files of others; the folder `begun` is none."""
    if not storage.is_folder(root) and not storage.is_remote(root) and storage.exists(root):
        raise UserError(f"{root}: is a file; name a folder")
    foreign = [name for name in storage.list_names(root) if name != begun and not _is_allowed(name)]
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise UserError(f"{root}: holds files that no run of gristmill wrote ({shown}); choose a new folder")


def _is_allowed(name: str) -> bool:
    """What is in a folder before run.json, the first file of a run."""
    return name in _OF_SYSTEMS or is_lock(name) or bool(_TEMPORARY.fullmatch(name))


def check_apart(output: str, inputs: Iterable[str]) -> None:
    """Raise UserError if the output folder is an input, inside an input folder, or around an input."""
    root = _canonical(output)
    for path in inputs:
        other = _canonical(path)
        if is_inside(path, output):
            raise UserError(f"{output}: holds the input {path}; choose another --output")
        if root.startswith(f"{other}/"):
            raise UserError(f"{output}: is inside the input {path}; choose an --output outside of it")


def is_inside(path: str, folder: str) -> bool:
    """Whether a file or folder is this folder, or below it."""
    return f"{_canonical(path)}/".startswith(f"{_canonical(folder)}/")


def _canonical(path: str) -> str:
    """One spelling for each place, links resolved."""
    if storage.is_remote(path):
        scheme, _, rest = path.partition("://")
        return f"{scheme}://{re.sub('/+', '/', rest).rstrip('/')}"
    path = os.path.abspath(os.path.expanduser(path.removeprefix("file://")))
    if storage.is_folder(path):
        return _real_folder(path)
    return os.path.join(_real_folder(os.path.dirname(path)), os.path.basename(path))


@cache
def _real_folder(path: str) -> str:  # a listing has a hundred thousand files in a few folders
    return os.path.realpath(path).rstrip("/")


def remove_published(layout: Layout) -> None:
    """Removes the manifest, so that nobody reads old and new files as one dataset, and then the published files.

    Before these goes the list of parts that are written: it would make a later run of the old settings leave them out.
    """
    storage.remove(layout.manifest)
    storage.remove_folder(layout.folder("published"))
    for kind in (*PUBLISHED, JSONL):
        folder = storage.join(layout.root, kind)
        names = [name for name in storage.list_names(folder) if _PART.fullmatch(name) or _TEMPORARY.fullmatch(name)]
        storage.remove_files(storage.join(folder, name) for name in names)
        storage.remove_empty_folder(folder)


def remove_work(layout: Layout) -> None:
    """Removes the work folders of this run and of former settings."""
    work = storage.join(layout.root, "work")
    for name in storage.list_names(work):
        if _WORK.fullmatch(name):
            storage.remove_folder(storage.join(work, name))
    storage.remove_empty_folder(work)


def trim_work(layout: Layout, units: Collection[str]) -> None:
    """Leaves of the work folders what reruns and further input start from: the files of these units of this run."""
    work = storage.join(layout.root, "work")
    for name in storage.list_names(work):
        if _WORK.fullmatch(name) and name != layout.key:
            storage.remove_folder(storage.join(work, name))
    for name in storage.list_names(layout.work):
        folder = layout.folder(name)
        if name in _FOR_RERUNS:
            others = [file for file in storage.list_names(folder) if file.rpartition(".")[0] not in units]
            storage.remove_files(storage.join(folder, file) for file in others)
        elif storage.is_folder(folder):
            storage.remove_folder(folder)
        else:
            storage.remove(folder)


def remove_leftovers(layout: Layout) -> None:
    """Removes what killed processes were writing. Only the owner of the lease calls this."""
    storage.remove_files(find_leftovers(layout.root, *PUBLISHED, JSONL, REMOVALS))


def find_leftovers(root: str, *folders: str) -> list[str]:
    """What killed processes were writing, in a folder and in those below it whose names fit; none in a store."""
    if storage.is_remote(root):
        return []
    found = [path for each in ("", *folders) for path in storage.glob_files(storage.join(root, each, ".*.tmp"))]
    return [path for path in found if _TEMPORARY.fullmatch(path.rpartition("/")[2])]
