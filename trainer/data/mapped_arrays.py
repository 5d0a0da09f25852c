"""Arrays that are computed once, stored as .npy files and mapped into memory by every process that needs them.

The ranks of a machine share one copy in the page cache, and a run starts without computing them. A folder holds the
arrays of one `key`; it is built again when the key differs or a file is damaged, and in memory where it cannot be
written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.verified_files import VerifiedFiles
from trainer.files import explain_writes, sha256_of_file, write_atomically

Columns = Callable[[], Iterator[tuple[str, NDArray[Any]]]]


def map_arrays(folder: Path, key: str, columns: Columns, *, verify: bool = True) -> dict[str, NDArray[Any]]:
    """The arrays by name; `columns` yields them one by one where they are not stored yet."""
    with take_lock(folder.with_name(f"{folder.name}.lock")) as failure:
        if found := _open_arrays(folder, key, verify):
            return found
        if failure is not None:
            return dict(columns())
        _write_arrays(folder, key, columns)
    return _open_arrays(folder, key, verify=False) or dict(columns())


@contextlib.contextmanager
def take_lock(path: Path) -> Iterator[OSError | None]:
    """Wait for other processes with the same lock. Without it, yield the error by which its file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        yield error
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield None


def save_array(path: Path, array: NDArray[Any]) -> None:
    """np.save, whose own way to write says of a full disk only how many items it wrote."""
    array = np.ascontiguousarray(array)
    with explain_writes(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def create_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """An array to write to, mapped from a new file. Its space is reserved: later, a full disk would be a SIGBUS."""
    with explain_writes(path):
        array = np.lib.format.open_memmap(path, "w+", dtype=dtype, shape=shape)
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _write_arrays(folder: Path, key: str, columns: Columns) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        hashes = {}
        for name, array in columns():
            save_array(temporary / f"{name}.npy", array)
            hashes[name] = sha256_of_file(temporary / f"{name}.npy")
        write_atomically(temporary / "arrays.json", json.dumps({"key": key, "sha256": hashes}, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open_arrays(folder: Path, key: str, verify: bool) -> dict[str, NDArray[Any]] | None:
    """The stored arrays; None where they are missing, damaged or of another key."""
    try:
        record = json.loads((folder / "arrays.json").read_text("utf-8"))
        if record["key"] != key:
            return None
        verified = VerifiedFiles(folder)
        paths = {name: folder / f"{name}.npy" for name in record["sha256"]}
        if verify and not all(verified.holds(path, record["sha256"][name]) for name, path in paths.items()):
            return None
        verified.save()
        return {name: _map(path) for name, path in paths.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # an array without elements cannot be mapped
        return np.asarray(np.load(path, allow_pickle=False))
