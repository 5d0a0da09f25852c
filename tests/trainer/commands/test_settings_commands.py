from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run
from trainer.commands.settings_commands import CLASSES
from trainer.tasks.pretrain_settings import read_pretrain_settings


@pytest.mark.parametrize("command", CLASSES)
def test_settings_are_printed_with_their_meaning(command: str) -> None:
    text = run("settings", "--of", command)
    assert tomllib.loads(text)
    assert "\n# " in f"\n{text}"


def test_a_preset_is_printed_in_full_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(run("settings", "tiny", "--set", "data.sources.web.path=curated", "--set", "loop.steps=7"))
    settings = read_pretrain_settings(str(path))
    assert settings == read_pretrain_settings("tiny", ["data.sources.web.path=curated", "loop.steps=7"])
    assert settings.loop.steps == 7


def test_settings_of_a_source_are_explained_where_there_is_none() -> None:
    lines = run("settings").splitlines()
    assert '#   share: share of the tokens read, 0 to 1; off = by the documents\' weights (default "off")' in lines


def test_a_run_shows_what_it_ran_with(demo: Path) -> None:
    assert tomllib.loads(run("settings", demo / "run"))["model"]["hidden_size"] == 32
