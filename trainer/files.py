"""Write small files atomically, flush files to disk, hash files, and choose folders that hold nothing of others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from trainer.errors import UserError


def cache_folder() -> Path:
    """Where token files are kept unless a path is given: in GRISTMILL_CACHE, else in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gristmill"
    return Path(os.environ.get("GRISTMILL_CACHE") or default) / "tokens"


def check_output(folder: Path, own: Sequence[str], markers: Sequence[str]) -> None:
    """Refuse an output folder with files of others: it must be new or empty, or have a marker, or only `own` files."""
    if not folder.exists():
        return
    names = sorted(path.name for path in folder.iterdir())
    if any(any(folder.glob(marker)) for marker in markers):
        return
    foreign = [name for name in names if not any(Path(name).match(pattern) for pattern in own)]
    if foreign:
        raise UserError(f"{folder}: holds files that this command did not write ({foreign[0]}); choose a new folder")


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Replace a small UTF-8 file; a reader sees the old text or the new one, also after a power failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # two processes may write the same file
    try:
        temporary.write_text(text, "utf-8")
        flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_to_disk(path.parent)


def flush_to_disk(path: Path) -> None:
    """Make the kernel write a file or a folder to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
