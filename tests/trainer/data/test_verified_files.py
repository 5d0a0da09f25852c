"""verified_files: a file is hashed once; every change is noticed, also one that hides."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from trainer.data import verified_files
from trainer.data.verified_files import VerifiedFiles

CONTENT = b"tokens" * 100
SHA256 = sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "part.tokens"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed."""
    names: list[str] = []
    real = verified_files.sha256_of_file
    monkeypatch.setattr(verified_files, "sha256_of_file", lambda path: names.append(path.name) or real(path))
    monkeypatch.setattr(verified_files, "SETTLED", 0.0)
    return names


def holds(path: Path) -> bool:
    """As a process that starts anew."""
    verified = VerifiedFiles(path.parent)
    found = verified.holds(path, SHA256)
    verified.save()
    return found


def test_a_file_is_hashed_once(file: Path, hashed: list[str]) -> None:
    assert [holds(file) for _ in range(4)] == [True] * 4
    assert len(hashed) == 1
    assert not VerifiedFiles(file.parent).holds(file, "0" * 64)  # another hash is not what was remembered


def in_place(path: Path) -> None:
    with path.open("r+b") as output:
        output.seek(7)
        output.write(b"X")


def by_replacement(path: Path) -> None:
    path.with_name("new").write_bytes(b"X" + CONTENT[1:])
    path.with_name("new").replace(path)


def by_memory_map(path: Path) -> None:
    import numpy as np

    mapped = np.memmap(path, mode="r+")
    mapped[3] = 0
    mapped.flush()


@pytest.mark.parametrize("change", [in_place, by_replacement, by_memory_map, lambda path: os.truncate(path, 9)])
def test_every_change_is_noticed_also_if_the_time_is_set_back(
    file: Path, hashed: list[str], change: Callable[[Path], None]
) -> None:
    assert holds(file)
    before = file.stat()
    time.sleep(0.02)  # more than a tick of the file system's clock
    change(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not holds(file)
    assert len(hashed) == 2
    file.unlink()
    assert not holds(file)


def test_a_file_that_has_just_changed_is_not_remembered(
    file: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified_files, "SETTLED", 3600.0)
    assert [holds(file) for _ in range(3)] == [True] * 3
    assert len(hashed) == 3


@pytest.mark.parametrize("text", ["", "[]", "{", '{"part.tokens": 1}', '{"part.tokens": [1]}'])
def test_a_damaged_memory_is_forgotten(file: Path, hashed: list[str], text: str) -> None:
    VerifiedFiles(file.parent).path.write_text(text)
    assert [holds(file) for _ in range(2)] == [True] * 2
    assert len(hashed) == 1
