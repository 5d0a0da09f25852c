"""`rerun` calls the command of a run with the same arguments, whatever options it had; nothing is trained here."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.commands.invoke import run
from trainer.cli import train
from trainer.reports.run_record import record_run
from trainer.settings import Settings

CONFIG = "[loop]\nsteps = 7\n"
CHANGES = ["--set", "loop.steps=3", "--set", "x.words={a = 'one two', b = [1, 2]}", "--set", "loop.steps=2"]
TUNED = ["model", "a.jsonl", "b c.jsonl", *CHANGES, "--lora", "--config", "small.toml", "--allow-changes"]
REWARDED = [*TUNED, "--reward", "judge", "--mix", "set"]
COMMANDS: dict[str, list[list[str]]] = {
    "pretrain": [
        ["tiny", "--data", "set", "--tokenizer", "tokenizer", "--start", "model", "--allow-changes", *CHANGES],
        ["--depth", "3", "--rule", "tokens_per_parameter=5", "--rule", "x='a b'", "--data", "set"],
        ["small.toml", "--tokenizer", "tokenizer/tokenizer.json"],
        ["model"],
    ],
    "anneal": [["model", "--config", "small.toml", "--control", *CHANGES], ["model"]],
    **{name: [TUNED, ["model", "a.jsonl"]] for name in ("sft", "reward", "dpo", "kto")},
    **{name: [REWARDED, ["model", "a.jsonl"], ["model", "a.jsonl", "--mix", "set"]] for name in ("grpo", "ppo")},
}
CASES = [(name, words) for name, cases in COMMANDS.items() for words in cases]


def expected(name: str, value: Any, folder: Path) -> Any:
    """What a repetition is given for the words of a first call: the same, with names of files and folders absolute."""
    if isinstance(value, tuple):
        return tuple(expected(name, part, folder) for part in value)
    if isinstance(value, Path):
        return folder / value
    return str(folder / value) if name in ("config", "data", "mix") and value in ("model", "set") else value


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("model", "judge", "set", "tokenizer", "elsewhere"):
        (tmp_path / folder).mkdir()
    for file in ("a.jsonl", "b c.jsonl", "tokenizer/tokenizer.json"):
        (tmp_path / file).touch()
    (tmp_path / "small.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "words"), CASES, ids=lambda part: part if isinstance(part, str) else " ".join(part))
def test_a_repetition_has_the_arguments_of_the_first_call(working_folder, monkeypatch, name, words):
    """The first call names everything relative to its folder; it is repeated from another one."""
    calls: list[tuple[dict[str, Any], str | None, Path]] = []

    def train_nothing(**given: Any) -> None:
        config = str(given.get("config"))
        calls.append((given, Path(config).read_text() if config.endswith(".toml") else None, Path.cwd()))
        with record_run(given["output"], Settings(), {}):
            pass

    monkeypatch.setattr(train.commands[name], "callback", train_nothing)
    run(name, *words, "--output", "first")
    (working_folder / "small.toml").write_text("[loop]\nsteps = 8\n")
    monkeypatch.chdir(working_folder / "elsewhere")
    printed = run("rerun", "../first", "--output", "second")
    (first, text, _), (second, text_then, folder) = calls
    assert second.pop("output") == working_folder / "elsewhere" / "second"
    assert text_then == text == (CONFIG if "small.toml" in words else None)
    record = json.loads((working_folder / "elsewhere/second/experiment.json").read_text())
    assert Path(record["repeats"]).resolve() == working_folder / "first"
    assert folder == working_folder  # relative paths among the settings begin there
    wanted = {key: expected(key, value, working_folder) for key, value in first.items() if key != "output"}
    if text is not None:
        assert Path(second.pop("config")).name == Path(wanted.pop("config")).name  # a copy of what it was then
    assert second == wanted
    (said,) = (line for line in printed.splitlines() if line.startswith(f"{name} "))
    read = train.commands[name].make_context(name, shlex.split(said)[1:], resilient_parsing=True).params
    assert {key: read[key] for key in second} == second


@pytest.mark.usefixtures("working_folder")
def test_every_option_of_every_training_command_is_among_them():
    for name, cases in COMMANDS.items():
        command = train.commands[name]
        given = set()
        for words in cases:
            params = command.make_context(name, [*words, "--output", "out"]).params
            given |= {key for key, value in params.items() if value not in (None, False, ())}
        assert given == {parameter.name for parameter in command.params}, name
