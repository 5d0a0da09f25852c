"""Presets: each loads, prints as a file that gives the same settings, and has the thresholds of its source."""

import json
import tomllib

import pytest

from pipeline.config import Config, load_config, to_toml
from pipeline.errors import UserError
from pipeline.presets import preset_names, read_comment, read_preset
from tests.conftest import Command


@pytest.mark.parametrize("name", preset_names())
def test_a_printed_preset_gives_the_same_settings(name, tmp_path):
    chosen = load_config(None, preset=name)
    (tmp_path / "printed.toml").write_text(read_comment(name) + to_toml(chosen))
    assert load_config(tmp_path / "printed.toml") == chosen
    assert chosen != Config()
    assert len(read_comment(name).splitlines()) > 2
    assert tomllib.loads(read_comment(name)) == {}


def test_a_file_changes_a_preset_and_an_override_changes_both(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[filter_heuristics.c4]\nmin_sentences = 4\nmin_words_per_line = 2\n")
    chosen = load_config(file, ["filter_heuristics.c4.min_words_per_line=1"], "fineweb-like").filter_heuristics
    assert (chosen.c4.min_sentences, chosen.c4.min_words_per_line) == (4, 1)
    assert chosen.fineweb.max_repeated_line_characters == 0.01


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no preset 'fineweb'; did you mean fineweb-like\?; there are c4-like, "):
        load_config(None, preset="fineweb")


def test_thresholds_are_those_of_the_sources():
    fineweb, c4, dclm = (load_config(None, preset=name) for name in ("fineweb-like", "c4-like", "dclm-like"))
    assert (fineweb.deduplicate.bands, fineweb.deduplicate.rows) == (14, 8)
    lines = fineweb.filter_heuristics.fineweb
    limits = (lines.min_punctuated_lines, lines.max_repeated_line_characters, lines.max_short_lines)
    assert (*limits, lines.max_lines_per_word) == (0.12, 0.01, 0.67, 0.3)
    assert fineweb.filter_heuristics.c4.end_punctuation is False
    rules = c4.filter_heuristics.c4
    assert (rules.min_words_per_line, rules.min_sentences, rules.max_characters) == (5, 3, 190_000)
    assert rules.end_punctuation is True
    gopher = c4.filter_heuristics.gopher.model_dump(exclude={"skip_paragraphs"})
    assert set(gopher.values()) == {None}
    assert dclm.extract_text.engine == "resiliparse"
    assert dclm.filter_heuristics.gopher.skip_paragraphs
    assert {config.identify_language.min_score for config in (fineweb, dclm)} == {0.65}


def test_the_command_prints_and_uses_a_preset(tmp_path, gristmill: Command):
    printed = gristmill("settings", "--preset", "c4-like").stdout
    assert printed.startswith(read_comment("c4-like"))
    assert "max_characters = 190000" in printed
    assert gristmill("settings", "--preset", "c5", check=False).returncode == 2
    (tmp_path / "a.jsonl").write_text('{"text": "Der Fluss steigt im Herbst über die Ufer und geht zurück."}\n')
    options = ("--output", tmp_path / "out", "--preset", "english", "--workers", 1)
    gristmill("curate", tmp_path / "a.jsonl", *options, check=False)  # it says that nothing was kept
    dropped = json.loads((tmp_path / "out/report.json").read_text())["dropped"]
    assert list(dropped) == ["identify_language"]


@pytest.mark.parametrize("name", preset_names())
def test_comments_name_what_differs(name):
    assert name == "english" or "Not the same" in read_preset(name)
