"""Checkpoints and token files under faults of every kind: resumed bitwise, or refused by name.

A sample of the calls; `python -m tests.trainer.faults` tries them all. A failure prints the command that repeats it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.trainer import faults
from tests.trainer.faults import MODULE, Disk, Fault, Faults, Killed

pytestmark = pytest.mark.timeout(900)
# One of so many calls; primes, so that all kinds have their turn.
EVERY = {"train": 23, "sharded": 23, "asynchronous": 23, "tokens": 7, "remove": 1, "export": 13}
ALL_FAULTS = ("tokens", "remove", "export")  # at each of these calls; the others are slower


@pytest.mark.parametrize("name", EVERY)
def test_one_call_in_many_fails(name: str, tmp_path: Path) -> None:
    tried = Faults(name, tmp_path)
    for place, number in enumerate(range(1, tried.calls + 1, EVERY[name])):
        for fault in Fault if name in ALL_FAULTS else (list(Fault)[place % len(Fault)],):
            try:
                tried.try_call(number, fault)
            except Exception as error:
                pytest.fail(
                    f"{type(error).__name__}: {error}\n    {MODULE} --scenario {name} --call {number} --fault {fault}"
                )


@pytest.mark.parametrize("name", ["sharded", "asynchronous"])
def test_a_full_disk_is_an_error_of_its_file_wherever_a_checkpoint_is_written(name: str, tmp_path: Path) -> None:
    tried = Faults(name, tmp_path)
    for number in range(tried.calls // 4, tried.calls // 2, 3):  # one of four checkpoints
        tried.try_call(number, Fault.FULL)
    assert set(tried.outcomes) <= {"OSError", "CheckpointError", "done"}


# --- the harness finds what is wrong ---


def careless(path: Path, text: str) -> None:
    path.write_text(text)


def unflushed(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def broken(tmp_path: Path, write: object, fault: Fault) -> bool:
    """Whether some call leaves neither the old nor the new text."""
    path = tmp_path / "file"
    for number in range(1, 9):
        path.write_text("old text")
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        try:
            with faults.on(Disk(str(tmp_path), number, fault)):
                write(path, "new text")  # type: ignore[operator]
                (tmp_path / "next").mkdir()
        except Killed:
            pass
        (tmp_path / "next").rmdir() if (tmp_path / "next").exists() else None
        if path.read_text() not in ("old text", "new text"):
            return True
    return False


def test_a_careless_writer_is_found_and_a_careful_one_is_not(tmp_path: Path) -> None:
    from trainer.files import write_atomically

    assert broken(tmp_path, careless, Fault.TORN)
    assert broken(tmp_path, unflushed, Fault.POWER)
    for fault in Fault:
        if fault is not Fault.FULL:
            assert not broken(tmp_path, write_atomically, fault)


def test_after_a_kill_nothing_is_cleaned_up(tmp_path: Path) -> None:
    def run() -> None:
        try:
            (tmp_path / "a").write_text("a")
            (tmp_path / "b").write_text("b")
        finally:
            (tmp_path / "a").unlink()

    with pytest.raises(Killed), faults.on(Disk(str(tmp_path), 2, Fault.KILL)):
        run()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
