from __future__ import annotations

from pathlib import Path

import pytest

from trainer.config import ConfigError, list_presets, read_config, to_toml
from trainer.data.sources import DataSettings
from trainer.data.tokenizer import TokenizerSettings
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.tasks.sft import SftSettings


def test_a_file_is_read_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("batch_size = 8\n[sources.web]\npath = 'x'\n")
    changes = [
        "sequence_length=64",
        "sources.web.share=0.5",
        "sources.wiki.path=/tmp/a b",
        "document_mask=false",
        "cache=c",
    ]
    settings = read_config(DataSettings, str(path), changes)
    assert (settings.batch_size, settings.sequence_length, settings.document_mask) == (8, 64, False)
    assert settings.sources["web"].share == 0.5
    assert settings.sources["wiki"].path == "/tmp/a b"


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("batch_size = 'many'", [], "run.toml: batch_size: must be a whole number, not 'many'"),
        ("[sources.web]\npath = 'x'\nshar = 1", [], r"run.toml: sources.web.shar: unknown key; did you mean share\?"),
        ("batch_size = = 1", [], "run.toml: not TOML"),
        ("", ["sources.web={path=a}"], "--set sources.web={path=a}: not a TOML table"),
        ("", ["batch_size"], "--set batch_size: expected table.key=value"),
        ("batch_size = 1", ["batch_size.deep=2"], "--set batch_size.deep=2: batch_size is a value, not a table"),
    ],
)
def test_faults_get_one_line_with_their_path(tmp_path: Path, text: str, changes: list[str], message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(DataSettings, str(tmp_path / "run.toml"), changes)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"gigantic: no such file or preset; name a \.toml file or one of .*tiny"):
        read_config(PretrainSettings, "gigantic")
    with pytest.raises(ConfigError, match=r"; did you mean tiny\?$"):
        read_config(PretrainSettings, "tinny")


@pytest.mark.parametrize("name", list_presets())
def test_every_setting_can_be_written_and_read_again(tmp_path: Path, name: str) -> None:
    run_settings = read_config(
        PretrainSettings, name, ['data.sources.web.path=a "b" \\ ü', "data.sources.web.share=0.25"]
    )
    (tmp_path / "again.toml").write_text(to_toml(run_settings))
    assert read_config(PretrainSettings, str(tmp_path / "again.toml")) == run_settings


def test_without_a_file_the_defaults_are_changed() -> None:
    assert read_config(TokenizerSettings, None, ["digits=triples"]).digits == "triples"


def test_a_table_given_in_part_keeps_the_other_defaults_of_its_command() -> None:
    found = read_config(SftSettings, None, ["schedule.learning_rate=0.001", "loop.steps=3"])
    expected = SftSettings()
    assert found.schedule == expected.schedule.model_copy(update={"learning_rate": 0.001})
    assert found.loop.patience == expected.loop.patience
    assert "steps" in found.loop.model_fields_set
    assert "seed" not in found.loop.model_fields_set
