"""Write small files atomically, flush files to disk, hash files, and choose folders that hold nothing of others."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import LockedError, UserError

if TYPE_CHECKING:
    from torch import Tensor

EXPERIMENT_FILE = "experiment.json"  # how a run was made; the first file that a run writes, but for its lock
LOCK_FILE = "training.lock"
_OF_NOBODY = ("lost+found", ".DS_Store", ".?*.[0-9]*.tmp")  # in folders that are empty for their owner


def cache_folder() -> Path:
    """Where token files are kept unless a path is given: in GRISTMILL_CACHE, else in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gristmill"
    return Path(os.environ.get("GRISTMILL_CACHE") or default) / "tokens"


def check_output(folder: Path, own: Sequence[str] = (), *, is_ours: bool = False) -> None:
    """Refuse an output folder with files of others: it must be new or empty, or `is_ours`, or have only `own` names.

    What `write_atomically` leaves where it is killed belongs to nobody.
    """
    if is_ours or not folder.exists():
        return
    names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if not any(Path(name).match(pattern) for pattern in (*own, *_OF_NOBODY))]
    if foreign:
        raise UserError(f"{folder}: holds files that this command did not write ({foreign[0]}); choose a new folder")


def check_output_file(path: Path, inputs: Iterable[Path] = (), *, is_ours: bool = False) -> None:
    """Refuse an output file that is an input, or that exists and is not `is_ours`."""
    if any(path.exists() and given.exists() and path.samefile(given) for given in inputs):
        raise UserError(f"{path}: is the input itself; choose another file")
    if (path.exists() or path.is_symlink()) and not is_ours:
        raise UserError(f"{path}: exists already; delete it or choose another file")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder; create it or choose another file")


def check_output_files(paths: Iterable[Path | None], inputs: Iterable[Path] = ()) -> None:
    """Refuse output files of one command, as `check_output_file` does; two of them may not be one. None is no file."""
    given, seen = [*inputs], set[Path]()
    for path in paths:
        if path is None:
            continue
        check_output_file(path, given)
        if path.resolve() in seen:
            raise UserError(f"{path}: is named twice; choose another file")
        seen.add(path.resolve())


def holds_keys(path: Path, *keys: str) -> bool:
    """Whether a file is a JSON object with these keys: what tells our files from others of the same name."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() >= set(keys)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: it has our experiment.json, our run.json or a checkpoint."""
    if holds_keys(folder / EXPERIMENT_FILE, "command", "inputs", "starts"):
        return True
    if holds_keys(folder / "run.json", "settings", "tokens_per_step", "precision"):
        return True
    return any(holds_keys(path, "step", "settings", "files") for path in folder.glob("checkpoints/step-*/state.json"))


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a run's folder. Raises LockedError, which names the one that does.

    The lock (flock) ends with its process, however that ends; its file stays. A file system without locks has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    with path.open("ab+", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = " ".join(file.read(200).decode(errors="replace").split()) or "another process"
            raise LockedError(f"{folder}: {owner} trains in it; wait until it is done, or name a new folder") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                raise
        with explain_writes(path):
            file.truncate(0)
            file.write(f"{socket.gethostname()} (process {os.getpid()})\n".encode())
        yield


def own_lock(folder: Path) -> list[str]:
    """The name of what `lock_run` leaves in a folder; none where there is no such file, or one of others."""
    path = folder / LOCK_FILE
    ours = path.is_file() and re.fullmatch(rb"(\S+ \(process \d+\)\n)?", path.read_bytes())
    return [LOCK_FILE] if ours else []


def find_runs(folder: Path, pattern: str) -> list[str]:
    """The names of the runs in a folder, of those that match."""
    return [path.name for path in folder.glob(pattern) if is_run(path)]


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explain_writes(path: Path) -> Iterator[None]:
    """Name the file in the errors of its writing: the system and most libraries do so only where it is opened.

    It stands around the opening as well: what could not be written fails once more when the file is closed.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a small file, text as UTF-8; a reader sees the old content or the new one, also after a power failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # two processes may write the same file
    try:
        with explain_writes(path):
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
        flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_to_disk(path.parent)


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file. Raises OSError where it cannot be written: the library has an error of its own."""
    import safetensors.torch

    try:
        safetensors.torch.save_file(tensors, path, metadata)
    except safetensors.SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def flush_to_disk(path: Path) -> None:
    """Make the kernel write a file or a folder to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with explain_writes(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
