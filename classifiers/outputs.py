"""Where commands write: nothing of others is destroyed, and what is there is whole.

A file is new. A folder is new, empty, or holds only what the same command wrote before; then its files are replaced.
Both are written beside their place and renamed when they are complete.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from classifiers.errors import UserError

_OF_SYSTEMS = ("lost+found", ".DS_Store")  # in folders that are empty for their owner


def cache_folder(name: str) -> Path:
    """Where files of a kind are kept for later commands: in GRISTMILL_CACHE, else in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gristmill"
    return Path(os.environ.get("GRISTMILL_CACHE") or default) / name


def check_new_file(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raises UserError for an output file that exists, or that would lie among the inputs."""
    for given in inputs:
        if given.is_dir() and path.resolve().is_relative_to(given.resolve()):
            raise UserError(f"{path}: lies in the input {given}; choose another --output")
        if path.exists() and given.exists() and path.samefile(given):
            raise UserError(f"{path}: is the input itself; choose another --output")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file with --output")
    if path.exists() or path.is_symlink():
        raise UserError(f"{path}: exists already; delete it or choose another --output")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder; create it or choose another --output")


def check_folder(folder: Path, own: Callable[[Path], Iterable[str]], inputs: Iterable[Path] = ()) -> None:
    """Raises UserError for an output folder with files of others.

    own: the names of the files in a folder that the same command wrote before; none in a folder of something else.
    inputs: paths that may lie in the folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder with --output")
    if not folder.exists():
        return
    allowed = {*own(folder), *_OF_SYSTEMS, *(path.name for path in inputs if path.resolve().parent == folder.resolve())}
    foreign = sorted({path.name for path in folder.iterdir()} - allowed)
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise UserError(
            f"{folder}: holds files that this command did not write ({', '.join(foreign[:3])}{more}); "
            "choose a new folder"
        )


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """A new file beside `path`, which gets its name when the block ends without an error, and else is deleted.

    An OSError of the block that names no file, as those of write() do, gets the name of this one.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    partial = Path(name)
    try:
        with _name_errors(path):
            yield partial
            _flush(partial)
            partial.chmod(0o666 & ~_mask())  # mkstemp gives no rights to group and others
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def partial_folder(folder: Path, last: str) -> Iterator[Path]:
    """A new folder beside `folder`, whose files are moved there when the block ends; `last` marks a complete folder.

    Errors get its name, as in `partial_file`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        with _name_errors(folder):
            yield partial
            folder.mkdir(exist_ok=True)
            for path in sorted(partial.iterdir(), key=lambda path: path.name == last):
                _flush(path)
                path.replace(folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _name_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def read_keys(path: Path) -> frozenset[str]:
    """The keys of a JSON object; none where the file is something else or missing."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        return frozenset(found) if isinstance(found, dict) else frozenset()
    return frozenset()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
