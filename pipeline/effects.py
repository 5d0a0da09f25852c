"""Every effect on the world outside this process: files, requests, processes, time.

Nothing else in `pipeline` calls the operating system for these (`tests/test_architecture.py` checks it). So a test can
put a simulated world in between, in which any call fails, is torn, or is the last one before the process is killed:
see `tests/pipeline/simulation/`. Without one, a call costs one comparison more.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar, cast

_Result = TypeVar("_Result")


class Effect(StrEnum):
    """The kinds of effects."""

    LOOK = "look"  # whether there is a file, and its size
    LIST = "list"
    OPEN = "open"  # an existing file, to read it
    READ = "read"
    CREATE = "create"  # a new file, to write it
    WRITE = "write"
    SYNC = "sync"
    RENAME = "rename"
    DELETE = "delete"
    FOLDER = "folder"
    REQUEST = "request"  # to a web server or an object store
    FIND = "find"  # a request for names, sizes or times: a look, or one page of a listing
    START = "start"  # a process
    TIME = "time"
    SLEEP = "sleep"


class World(Protocol):
    """Stands between this module and the operating system."""

    def perform(
        self, effect: Effect, subject: str, action: Callable[[], Any], torn: Callable[[], Any] | None = None
    ) -> Any:
        """The result of `action`, or whatever else may happen; `torn` does the first half of the action."""


_world: World | None = None  # one for all threads


def perform(
    effect: Effect, subject: str, action: Callable[[], _Result], torn: Callable[[], Any] | None = None
) -> _Result:
    """The result of `action`; `subject` is the file, address or program that it concerns."""
    return action() if _world is None else cast(_Result, _world.perform(effect, subject, action, torn))


@contextmanager
def simulate(world: World) -> Iterator[None]:
    """Puts `world` in between while the block runs."""
    global _world
    before, _world = _world, world
    try:
        yield
    finally:
        _world = before


class _Halted:
    """Effects wait forever, but not those of exempt threads."""

    def __init__(self, is_exempt: Callable[[], bool]) -> None:
        self.is_exempt = is_exempt

    def perform(self, effect: Effect, subject: str, action: Callable[[], Any], torn: Any = None) -> Any:
        if not self.is_exempt():
            threading.Event().wait()
        return action()


def halt(is_exempt: Callable[[], bool]) -> None:
    """Stops all threads at their next effect, but those in which `is_exempt` is true: the process is about to end."""
    global _world
    _world = _Halted(is_exempt)


# --- files ---


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    return perform(Effect.LOOK, path, lambda: _status(path)) is not None


def is_folder(path: str) -> bool:
    """Whether there is a folder, or a link to one."""
    found = perform(Effect.LOOK, path, lambda: _status(path))
    return found is not None and stat.S_ISDIR(found.st_mode)


def _status(path: str) -> os.stat_result | None:
    """None for a path that does not exist. `os.path.exists` would say that of a disk that cannot be read, too."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def size(path: str) -> int:
    """Bytes of a file."""
    return perform(Effect.LOOK, path, lambda: os.stat(path).st_size)


def is_own(path: str) -> bool:
    """Whether a file or folder belongs to this user; False where there is none."""
    found = perform(Effect.LOOK, path, lambda: _status(path))
    return found is not None and found.st_uid == os.geteuid()


def modification_time(path: str) -> float:
    """When a file was written, by the clock of its disk."""
    return perform(Effect.LOOK, path, lambda: os.stat(path).st_mtime)


def open_file(path: str) -> BinaryIO:
    """An existing file, to read it."""
    return _watch(perform(Effect.OPEN, path, lambda: open(path, "rb")), path)


def open_with(open_it: Callable[[], BinaryIO], path: str) -> BinaryIO:
    """An existing file, opened by a library."""
    return _watch(perform(Effect.OPEN, path, open_it), path)


def read_file(path: str) -> bytes:
    """All bytes of a file."""
    with open_file(path) as file:
        return read_fully(file)


def read_fully(file: BinaryIO, count: int = -1) -> bytes:
    """The next `count` bytes, or all; fewer only where the file ends.

    That less than asked has come does not say so: a network file system may not know the size yet.
    """
    pieces, missing = list[bytes](), count
    while missing and (piece := file.read(missing)):
        pieces.append(piece)
        missing -= len(piece) if count >= 0 else 0
    return b"".join(pieces)


def create_file(path: str) -> BinaryIO:
    """A new file. Raises FileExistsError where there is one."""
    return _watch(perform(Effect.CREATE, path, lambda: open(path, "xb")), path)


def create_temporary(folder: str, prefix: str, suffix: str) -> tuple[BinaryIO, str]:
    """A new file with a name that no other has, and its path."""
    handle, path = perform(Effect.CREATE, folder, lambda: tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix))
    return _watch(os.fdopen(handle, "wb"), path), path


@contextmanager
def unnamed_file(folder: str | None = None) -> Iterator[tuple[BinaryIO, str]]:
    """A file without a name, which is gone when it is closed or the process ends, and a path to open it meanwhile."""
    where = folder or tempfile.gettempdir()
    with perform(Effect.CREATE, where, lambda: tempfile.TemporaryFile(dir=folder)) as file:
        path = f"/proc/self/fd/{file.fileno()}"
        yield _watch(cast(BinaryIO, file), where), path


@contextmanager
def locked_file(path: str) -> Iterator[BinaryIO]:
    """A small file that one process at a time reads and writes; its folder is the user's alone."""

    def open_it() -> BinaryIO:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return open(path, "a+b")

    with perform(Effect.OPEN, path, open_it) as file:
        # Not by `perform`: a simulated world makes one call at a time, and who has the lock would wait for it.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield _watch(file, path)


def sync_file(file: BinaryIO, path: str) -> None:
    """Waits until the file's bytes are on the disk."""
    file.flush()
    perform(Effect.SYNC, path, lambda: os.fsync(file.fileno()))


def sync_folder(path: str) -> None:
    """Waits until the names in the folder are on the disk: after a power failure, renamed files are there."""

    def sync() -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    perform(Effect.SYNC, path, sync)


def set_usual_mode(path: str) -> None:
    """Gives a file the permissions that the process's new files have: mkstemp gives none to group and others."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def rename(source: str, target: str) -> None:
    """Gives a file another name; a file of that name is replaced."""

    def replace() -> None:
        os.replace(source, target)

    perform(Effect.RENAME, target, replace)


def link(source: str, target: str) -> None:
    """Gives a file a second name. Raises FileExistsError where there is a file of that name."""
    perform(Effect.CREATE, target, lambda: os.link(source, target))


def delete_file(path: str) -> None:
    """Deletes a file, if there is one."""

    def unlink() -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)

    perform(Effect.DELETE, path, unlink)


def make_folder(path: str) -> None:
    """Creates a folder and those above it, where they are missing."""
    perform(Effect.FOLDER, path, lambda: os.makedirs(path, exist_ok=True))


def make_temporary_folder(folder: str | None, prefix: str) -> str:
    """A new folder with a name that no other has; the caller deletes it."""
    where = folder or tempfile.gettempdir()
    return perform(Effect.FOLDER, where, lambda: tempfile.mkdtemp(dir=folder, prefix=prefix))


def delete_folder(path: str) -> None:
    """Deletes a folder with all that is in it; a link to a folder is deleted, not followed."""
    for entry in list_folder(path):
        delete = delete_folder if entry.is_folder and not entry.is_link else delete_file
        delete(os.path.join(path, entry.name))

    def remove() -> None:
        with suppress(FileNotFoundError):
            os.rmdir(path)

    perform(Effect.DELETE, path, remove)


def delete_empty_folder(path: str) -> None:
    """Deletes a folder if nothing is in it."""

    def remove() -> None:
        with suppress(OSError):
            os.rmdir(path)

    perform(Effect.DELETE, path, remove)


class FolderEntry(NamedTuple):
    """A name in a folder."""

    name: str
    is_folder: bool  # or a link to one
    is_link: bool


def list_folder(path: str) -> list[FolderEntry]:
    """What is in a folder, sorted by name; nothing where there is no such folder."""

    def scan() -> list[FolderEntry]:
        try:
            with os.scandir(path) as entries:
                return sorted(FolderEntry(entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    return perform(Effect.LIST, path, scan)


def find_files(folder: str, ending: str) -> list[str]:
    """Paths of the files directly in a folder whose names end so, sorted; nothing where there is no such folder."""
    entries = list_folder(folder)
    return [
        os.path.join(folder, entry.name) for entry in entries if entry.name.endswith(ending) and not entry.is_folder
    ]


def read_link(path: str) -> str:
    """Where a link points."""
    return perform(Effect.LOOK, path, lambda: os.readlink(path))


def free_bytes(folder: str) -> int:
    """Free space on the disk of a folder."""
    return shutil.disk_usage(folder).free


def _watch(file: Any, path: str) -> BinaryIO:
    return cast(BinaryIO, file if _world is None else _WatchedFile(file, path, _world))


class _WatchedFile(io.BufferedIOBase):
    """A file whose reads and writes pass through the simulated world."""

    def __init__(self, file: BinaryIO, path: str, world: World) -> None:
        self._file, self._path, self._world = file, path, world

    def read(self, size: int | None = -1, /) -> bytes:
        action = partial(self._file.read, -1 if size is None else size)
        return cast(bytes, self._world.perform(Effect.READ, self._path, action, partial(self._read_half, action)))

    def _read_half(self, read: Callable[[], bytes]) -> bytes:
        """The first half of what is read; the next call goes on behind it. Nothing only where the file ends."""
        piece = read()
        half = piece[: (len(piece) + 1) // 2]
        self._file.seek(len(half) - len(piece), os.SEEK_CUR)
        return half

    def readinto(self, buffer: Any, /) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def write(self, data: Any, /) -> int:
        action = partial(self._file.write, data)
        return cast(int, self._world.perform(Effect.WRITE, self._path, action, partial(self._write_half, data)))

    def _write_half(self, data: Any) -> None:
        self._file.write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])

    def truncate(self, size: int | None = None, /) -> int:
        action = partial(self._file.truncate, size)
        return cast(int, self._world.perform(Effect.WRITE, self._path, action, lambda: None))

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def readable(self) -> bool:
        return self._file.readable()

    def writable(self) -> bool:
        return self._file.writable()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


# --- processes and time ---


def start_process(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """A new process."""
    return perform(Effect.START, command[0], lambda: subprocess.Popen(list(command), **options))  # noqa: S603


def now() -> float:
    """Seconds since 1970, on this machine's clock."""
    return perform(Effect.TIME, "clock", time.time)


def monotonic() -> float:
    """Seconds since some moment; only differences mean something."""
    return perform(Effect.TIME, "clock", time.monotonic)


def sleep(seconds: float) -> None:
    """Waits."""
    perform(Effect.SLEEP, "clock", lambda: time.sleep(seconds))


def prefer_to_be_killed() -> None:
    """Where the machine runs out of memory, the kernel ends this process before any other."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
