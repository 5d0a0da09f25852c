"""`gristmill release` writes into a new folder alone: no file of others is replaced, whatever is released."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.errors import LockedError, UserError
from pipeline.release import new_folder
from pipeline.release.annotations import RELEASE
from pipeline.release.new_folder import open_new_folder
from pipeline.release.provenance_graph import PROV_FILE
from pipeline.release.training_summary import JSON_FILE, TEXT_FILE
from pipeline.release_commands import release
from pipeline.storage.lease import hold_lease

KINDS = {"annotations": [RELEASE], "training-summary": [JSON_FILE, TEXT_FILE], "provenance": [PROV_FILE]}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in (*names, "mine")])
def test_files_of_others_are_not_replaced(curated_minicrawl: Path, tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_text("theirs")
    done = CliRunner().invoke(release, [str(curated_minicrawl), f"--{kind}", "--output", str(tmp_path)])
    assert (done.exit_code, done.output) == (2, f"Error: {tmp_path}: is not empty; choose a new folder\n")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "theirs"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_release_is_apart_from_its_output_and_is_no_file(curated_minicrawl: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("theirs")
    for target, says in ((curated_minicrawl / "new", "is inside the input"), (tmp_path / "file", "is a file")):
        done = CliRunner().invoke(release, [str(curated_minicrawl), f"--{kind}", "--output", str(target)])
        assert done.exit_code == 2
        assert says in done.output
    assert not (curated_minicrawl / "new").exists()


def test_all_kinds_go_into_one_new_folder(curated_minicrawl: Path, tmp_path: Path) -> None:
    kinds = [f"--{kind}" for kind in KINDS]
    done = CliRunner().invoke(release, [str(curated_minicrawl), *kinds, "--output", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    names = {name for names in KINDS.values() for name in names}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"annotations", *names}


def test_a_release_needs_a_finished_output(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.json"), open_new_folder(str(tmp_path), str(tmp_path / "new")):
        pass
    assert not (tmp_path / "new").exists()


def test_one_process_at_a_time_writes_a_release(curated_minicrawl: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "new")
    with (
        open_new_folder(str(curated_minicrawl), target),
        pytest.raises(LockedError, match="held by"),
        open_new_folder(str(curated_minicrawl), target),
    ):
        pass


def test_a_release_that_another_process_has_just_written_is_not_overwritten(
    curated_minicrawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def hold_late(path: str) -> Iterator[None]:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / RELEASE).write_text("theirs")  # after the folder was looked at
        with hold_lease(path):
            yield

    monkeypatch.setattr(new_folder, "hold_lease", hold_late)
    with (
        pytest.raises(UserError, match="is not empty"),
        open_new_folder(str(curated_minicrawl), str(tmp_path / "new")),
    ):
        pass
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {RELEASE: "theirs"}
