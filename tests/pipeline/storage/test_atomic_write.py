"""Atomic writes: after a failure the old file is unchanged and no temporary file is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import storage


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Path(path).write_text("old")
    with pytest.raises(RuntimeError):
        _write_half(path)
    assert os.listdir(tmp_path) == ["x"]
    assert Path(path).read_text() == "old"


def test_written_files_have_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with storage.write_atomically(str(tmp_path / "x")):
        pass
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


def _write_half(path: str) -> None:
    with storage.write_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
