"""A journal goes on where its state says, whatever a kill left behind, and refuses what it was not begun with."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.rollouts.journal import Journal


def test_lines_behind_the_state_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    journal = Journal(path, {"seed": (1, 2)})
    journal.commit([{"a": "é"}], {"done": 1})
    with path.open("ab") as file:
        file.write(b'{"a": 2}\n{"a')
    again = Journal(path, {"seed": (1, 2)})
    assert again.state == {"done": 1}
    assert list(again.lines()) == [{"a": "é"}]
    again.commit([{"a": 3}], {"done": 2})
    assert list(Journal(path, {"seed": [1, 2]}).lines()) == [{"a": "é"}, {"a": 3}]


def test_other_settings_lost_bytes_and_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine\n")
    with pytest.raises(UserError, match="exists already"):
        Journal(path, {})
    assert path.read_text() == "mine\n"
    path.unlink()
    Journal(path, {"seed": 1}).commit([{"a": 1}], {})
    with pytest.raises(UserError, match="was begun with another seed"):
        Journal(path, {"seed": 2})
    path.write_text("")
    with pytest.raises(UserError, match="lost 9 bytes"):
        Journal(path, {"seed": 1})
