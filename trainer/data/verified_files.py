"""Which files of a folder had their SHA-256, remembered on this machine: a file is hashed once, not at every start.

A file counts as unchanged while its size, inode and times of modification and of status change are those that it had
when it was hashed. Programs can set the first time back, the second only the kernel sets. Not noticed is damage below
the file system (a failing disk); `data.cache` can be deleted to hash all again.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from pathlib import Path

from trainer.files import sha256_of_file, write_atomically

SETTLED = 1.0  # seconds after a change before it is remembered: the times of a file system tick every few milliseconds


class VerifiedFiles:
    """The files of one folder; `save` keeps what was found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"verified-{platform.node() or 'machine'}.json"
        self._known: dict[str, list[object]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self.path.read_text("utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def holds(self, path: Path, sha256: str) -> bool:
        """Whether a file of the folder exists and has this hash."""
        name = str(path.relative_to(self.folder))
        try:
            before = _read_state(path)
            if self._known.get(name) == [*before, sha256]:
                return True
            equal = sha256_of_file(path) == sha256
            after = _read_state(path)
        except OSError:
            return False
        settled = before == after and time.time() - max(before[2:]) / 1e9 > SETTLED
        if equal and settled:
            self._known[name] = [*before, sha256]
            self._changed = True
        return equal

    def save(self) -> None:
        """Remember what was verified, if the folder can be written."""
        if self._changed:
            with contextlib.suppress(OSError):
                write_atomically(self.path, json.dumps(self._known, indent=1) + "\n")


def _read_state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
