"""The interface to the world: the same answers as the standard library's, but no error is swallowed."""

from __future__ import annotations

import glob
import itertools
import os
from pathlib import Path

import pytest

from pipeline import effects, storage
from pipeline.effects import Effect


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/1.w", "a/b/2.w", "a/b/c/3.w", "a/b/c/.4.w", "a/.h/x/5.w", "b/6.g", "a/[x]/7.w", "top.w", ".dot.w"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_glob_finds_what_pythons_finds(tree):
    parts = ("a", "*", "**", "?", "*.w", "[ab]", "[[]x]", "link", ".*", "missing")
    patterns = ["/".join(each) for n in (1, 2, 3) for each in itertools.product(parts, repeat=n)]
    for pattern in [*patterns, *(f"{tree}/{each}" for each in patterns)]:
        expected = sorted({path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)})
        assert storage.glob_files(pattern) == expected, pattern


class Failing:
    """A world in which one kind of effect fails."""

    def __init__(self, kind: Effect, error: OSError) -> None:
        self.kind, self.error = kind, error

    def perform(self, effect, subject, action, torn=None):
        if effect is self.kind:
            raise self.error
        return action()


def test_a_disk_that_cannot_be_read_is_not_an_empty_one(tree):
    (tree / "full").mkdir()
    for kind, call in (
        (Effect.LIST, lambda: storage.glob_files("**/*.w")),
        (Effect.LIST, lambda: storage.file_sizes("a")),
        (Effect.LIST, lambda: storage.list_files("a")),
        (Effect.LOOK, lambda: storage.exists("a/1.w")),
        (Effect.LOOK, lambda: storage.is_folder("a")),
        (Effect.DELETE, lambda: storage.remove_folder("full")),
        (Effect.DELETE, lambda: storage.remove("a/1.w")),
    ):
        world = Failing(kind, OSError(5, "Input/output error"))
        with effects.simulate(world), pytest.raises(storage.StorageError, match="Input/output error"):
            call()


def test_deleting_a_folder_follows_no_link(tree):
    (tree / "b" / "to-a").symlink_to(tree / "a")
    storage.remove_folder(str(tree / "b"))
    assert not (tree / "b").exists()
    assert (tree / "a" / "1.w").exists()


class Torn:
    """A world in which each write ends half-way."""

    def __init__(self) -> None:
        self.seen: list[Effect] = []

    def perform(self, effect, subject, action, torn=None):
        self.seen.append(effect)
        if effect is not Effect.WRITE:
            return action()
        torn()
        raise OSError(28, "No space left on device")


def test_a_locked_file_is_read_and_written_through_the_world(tmp_path):
    path, world = str(tmp_path / "state" / "a.json"), Torn()
    with effects.locked_file(path) as file:
        file.write(b"old")
    with effects.simulate(world), effects.locked_file(path) as file:
        assert file.read() == b"old"
        with pytest.raises(OSError, match="No space"):
            file.write(b"1234")
    assert Path(path).read_bytes() == b"old12"
    with effects.simulate(world), effects.locked_file(path) as file, pytest.raises(OSError, match="No space"):
        file.truncate(0)
    assert world.seen == [Effect.OPEN, Effect.READ, Effect.WRITE, Effect.OPEN, Effect.WRITE]
