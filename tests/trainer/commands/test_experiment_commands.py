"""`runs` and `rerun`: any run is repeated on another model or other data, and what changed is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.commands.arithmetic import write_sums
from tests.trainer.commands.invoke import run, run_options
from trainer.data.batches import BatchSource
from trainer.data.tokenizer import load_tokenizer
from trainer.errors import LockedError, UserError
from trainer.files import LOCK_FILE, lock_run
from trainer.training.checkpoint import find_checkpoint, list_checkpoints, read_state

SET = ["loop.threads=1", "loop.precision=float32", "loop.steps=2", "schedule.warmup_steps=1"]


def changes(*more: str) -> list[str]:
    return [word for change in (*SET, *more) for word in ("--set", change)]


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("rerun") / "sums.jsonl")


@pytest.fixture(scope="module")
def tuned(demo: Path, sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of sft by a settings file, which has changed since."""
    folder = tmp_path_factory.mktemp("tuned")
    config = folder / "small.toml"
    config.write_text("[chat]\nsequence_length = 32\nbatch_size = 4\n")
    run("sft", demo / "run", sums, "--output", folder / "sft", "--config", config, *changes())
    config.write_text("[chat]\nbatch_size = 9\n")
    return folder / "sft"


def differences(*folders: Path) -> dict[str, list]:
    found = json.loads(run("runs", *folders, "--compare", "--json"))
    assert [Path(name) for name in found["runs"]] == list(folders)
    return {f"{part['kind']} {part['key']}": part["values"] for part in found["differences"]}


def test_a_repetition_is_bitwise_the_same(tuned, tmp_path):
    printed = run("rerun", tuned, "--output", tmp_path / "again")
    assert "outcome  loss" in printed
    before, after = (json.loads(run("runs", path, "--json"))[0] for path in (tuned, tmp_path / "again"))
    assert before["loss"] == after["loss"]
    assert before["inputs"] == after["inputs"]
    assert before["settings"] == after["settings"]
    assert after["repeats"] == str(tuned)
    assert not {kind.split()[0] for kind in differences(tuned, tmp_path / "again")} & {"setting", "input"}


def test_another_model_other_data_and_settings(demo, tuned, tmp_path):
    run("pretrain", "tiny", *run_options(demo), "--output", tmp_path / "newer", "--set", "loop.seed=1")
    other = write_sums(tmp_path / "other.jsonl", count=60)
    printed = run("rerun", tuned, "--output", tmp_path / "again", "--model", tmp_path / "newer", "--data", other,
                  "--set", "epochs=5")  # fmt: skip
    found = differences(tuned, tmp_path / "again")
    assert found["setting epochs"] == [3.0, 5.0]
    assert {key.split()[0] for key in found} >= {"setting", "input", "outcome"}
    assert len(set(found["input model run"])) == 2
    assert any(str(other) in key and values[0] is None for key, values in found.items())
    assert "epochs" in printed
    assert found["outcome loss"][0] != found["outcome loss"][1]
    run("rerun", tmp_path / "again", "--output", tmp_path / "third")  # a repetition is a run like any other


def test_a_repetition_takes_the_lock_of_its_folder(demo: Path, tmp_path: Path) -> None:
    with lock_run(tmp_path / "again"), pytest.raises(LockedError, match=r"again: .* trains in it") as caught:
        run("rerun", demo / "run", "--output", tmp_path / "again")
    assert caught.value.exit_code == 5
    assert [path.name for path in (tmp_path / "again").iterdir()] == [LOCK_FILE]
    run("rerun", demo / "run", "--output", tmp_path / "again")


@pytest.fixture(scope="module")
def newer(demo: Path, sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same shape with other weights."""
    folder = tmp_path_factory.mktemp("newer") / "sft"
    run("sft", demo / "run", sums, "--output", folder, *changes("chat.sequence_length=32", "loop.seed=3"))
    return folder


@pytest.fixture(scope="module")
def judge(tuned: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge") / "reward"
    run("reward", tuned, pairs, "--output", folder, *changes("pairs.sequence_length=32", "pairs.batch_size=4"))
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [{"prompt": f"{n}+1=", "chosen": str(n + 1), "rejected": "no"} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def settings_of(folder: Path) -> dict:
    """All settings but the path of the tokenizer, which lies in the checkpoint that a run begins with."""
    return {**json.loads((folder / "run.json").read_text())["settings"], "tokenizer": None}


@pytest.mark.parametrize("command", ["reward", "dpo", "grpo", "ppo"])
def test_each_task_is_repeated_on_a_better_model(request, tuned, newer, pairs, tmp_path, command):
    first, second = tmp_path / "first", tmp_path / "second"
    if command in ("reward", "dpo"):
        given = [pairs, "--lora", *changes("pairs.sequence_length=32", "pairs.batch_size=4", "loop.seed=7")]
    else:
        few = ["prompts.batch_size=2", "prompts.held_out=0.1", "rollout.samples=2", "rollout.max_new_tokens=4"]
        reward = ["--reward", request.getfixturevalue("judge")] if command == "ppo" else []
        run("make-tasks", "sums", "--count", 20, "--output", tmp_path / "asked.jsonl")
        given = [tmp_path / "asked.jsonl", *reward, *changes(*few, "loop.seed=7")]
    run(command, tuned, *given, "--output", first)
    printed = run("rerun", first, "--output", second, "--model", newer)
    assert settings_of(second) == settings_of(first)
    assert settings_of(second)["loop"]["seed"] == 7
    found = differences(first, second)
    assert {key for key in found if key.startswith(("setting", "input"))} == {"input model run"}  # not the reward model
    digests = [read_state(find_checkpoint(path)).model_digest for path in (tuned, newer)]
    assert found["input model run"] == digests
    (said,) = (line.split() for line in printed.splitlines() if line.startswith("input "))
    assert [shown.rstrip(".") for shown in said[-2:]] == [digest[:12] for digest in digests]
    if command not in ("dpo", "grpo"):  # log 2 until the model has moved away; 0 where answers have equal rewards
        assert len(set(found["outcome loss"])) == 2


def test_a_failed_idea_is_tried_again_on_a_better_model(tuned, newer, sums, tmp_path):
    """A rate that is far too high makes the first model worse on held-out answers; both verdicts are said."""
    tried = changes("schedule.learning_rate=1", "chat.sequence_length=32", "chat.held_out=0.2")
    run("sft", tuned, sums, "--output", tmp_path / "worse", *tried)
    printed = run("rerun", tmp_path / "worse", "--output", tmp_path / "again", "--model", newer)
    (said,) = (line for line in printed.splitlines() if line.split()[:2] == ["outcome", "verdict"])
    verdicts = []
    for folder in (tmp_path / "worse", tmp_path / "again"):
        tested = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        before, after = tested[0]["before"]["loss"], tested[-1]["validation"]["loss"]
        word = "worse" if after > before else "better"
        verdicts.append(f"{word}: held-out loss {before:.4g} -> {after:.4g}")
    assert verdicts[0].startswith("worse")
    assert said.index(verdicts[0]) < said.index(verdicts[1])
    assert verdicts[0] != verdicts[1]


def test_a_run_that_fails_at_once_holds_its_tokenizer_and_is_repeated(demo, tmp_path, monkeypatch):
    options = run_options(demo)
    shutil.copytree(demo / "tokenizer", tmp_path / "tokenizer")
    options[options.index("--tokenizer") + 1] = tmp_path / "tokenizer"
    with monkeypatch.context() as broken:
        broken.setattr(BatchSource, "batch", break_down)
        for attempt in ("loop.seed=5", "loop.steps=2"):
            with pytest.raises(OverflowError):
                run("pretrain", "tiny", *options, "--output", tmp_path / "run", "--set", attempt)
    assert not list_checkpoints(tmp_path / "run" / "checkpoints")
    kept = (tmp_path / "run" / "tokenizer.json").read_text("utf-8")
    assert kept == load_tokenizer(demo / "tokenizer").json
    shutil.rmtree(tmp_path / "tokenizer")
    run("rerun", tmp_path / "run", "--output", tmp_path / "again")
    assert settings_of(tmp_path / "again") == settings_of(tmp_path / "run")
    assert settings_of(tmp_path / "again")["loop"]["steps"] == 2
    assert settings_of(tmp_path / "again")["loop"]["seed"] == 0  # of the last attempt
    assert "finished" in run("runs", tmp_path / "again", "--json")


def break_down(*_: object) -> None:
    raise OverflowError("data with a bug")


def test_a_preference_run_is_repeated(tuned, pairs, tmp_path):
    run("kto", tuned, pairs, "--output", tmp_path / "kto", *changes("pairs.sequence_length=32", "pairs.batch_size=4"))
    run("rerun", tmp_path / "kto", "--output", tmp_path / "again", "--set", "preference.beta=0.2")
    assert differences(tmp_path / "kto", tmp_path / "again")["setting preference.beta"] == [0.1, 0.2]
    listed = run("runs", tmp_path, "--where", "task=kto")
    assert listed.count(" kto ") == 2


def test_a_pretraining_run_is_repeated_on_its_data(demo, tmp_path):
    run("rerun", demo / "run", "--output", tmp_path / "again", "--set", "data.batch_size=4")
    found = differences(demo / "run", tmp_path / "again")
    assert found["setting data.batch_size"] == [8, 4]
    assert not any(key.startswith("input") for key in found)
    inputs = json.loads(run("runs", demo / "run", "--json"))[0]["inputs"]
    assert (
        inputs[f"data.sources.web {demo / 'set'}"]
        == json.loads((demo / "set/manifest.json").read_text())["content_hash"]
    )


def test_a_failed_run_is_listed_with_its_error_and_tried_again(tuned, sums, tmp_path):
    diverges = ["schedule.learning_rate=1e30", "chat.sequence_length=32", "anomalies.not_finite=stop", "loop.steps=6"]
    with pytest.raises(UserError):
        run("sft", tuned, sums, "--output", tmp_path / "bad", *changes(*diverges))
    (found,) = json.loads(run("runs", tmp_path, "--json"))
    assert found["status"] == "stopped"
    assert found["verdict"].startswith("stopped: step ")
    run("rerun", tmp_path / "bad", "--output", tmp_path / "good", "--set", "schedule.learning_rate=1e-4")
    assert json.loads(run("runs", tmp_path / "good", "--json"))[0]["status"] == "finished"


def test_a_line_of_ones_own(tuned):
    assert "a keeper" in run("runs", tuned, "--verdict", "a keeper")
    run("runs", tuned, "--verdict", "")


def test_what_cannot_be_repeated_is_refused_in_one_line(demo, tuned, tmp_path):
    (tmp_path / "older").mkdir()
    with pytest.raises(UserError, match="does not name the command"):
        run("rerun", tmp_path / "older", "--output", tmp_path / "new")
    with pytest.raises(UserError, match="choose a new folder"):
        run("rerun", tuned, "--output", tuned)
    with pytest.raises(UserError, match=r"--reward: .* takes no such model"):
        run("rerun", tuned, "--output", tmp_path / "new", "--reward", demo / "run")
    with pytest.raises(UserError, match="one dataset"):
        run("rerun", demo / "run", "--output", tmp_path / "new", "--data", "a", "--data", "b")
    with pytest.raises(UserError, match="no such run here"):
        run("runs", tmp_path / "older")
    with pytest.raises(UserError, match="needs two runs"):
        run("runs", tuned, "--compare")
    assert not (tmp_path / "new").exists()
