"""Post-training commands on a small run: they learn, resume bitwise, and their models are used like any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.trainer.commands.arithmetic import write_sums
from tests.trainer.commands.invoke import run
from trainer.errors import UserError
from trainer.training.checkpoint import find_checkpoint, list_checkpoints, read_state, read_tensors

SET = ["loop.threads=1", "loop.precision=float32", "schedule.warmup_steps=2", "schedule.learning_rate=0.01"]
SET += ["chat.sequence_length=32", "chat.batch_size=4", "chat.held_out=0.2", "checkpoints.every=5"]
CHANGES = [word for change in SET for word in ("--set", change)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(read_tensors(find_checkpoint(path), "model"))


def losses(path: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("chat") / "sums.jsonl")


@pytest.fixture(scope="module")
def tuned(demo: Path, sums: Path) -> Path:
    run("sft", demo / "run", sums, "--output", demo / "sft", *CHANGES, "--set", "loop.steps=20")
    return demo / "sft"


def test_sft_learns_answers_and_measures_held_out_ones(tuned):
    found = losses(tuned)
    assert len(found) == 20
    assert sum(found[-4:]) < 0.7 * sum(found[:4])
    rows = [json.loads(line) for line in (tuned / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["validation"]["loss"] < found[0]


def test_sft_resumes_bitwise(demo, sums, tuned, tmp_path):
    shutil.copytree(tuned, tmp_path / "cut")
    for path in list_checkpoints(tmp_path / "cut" / "checkpoints")[-1:]:
        shutil.rmtree(path)
    run("sft", demo / "run", sums, "--output", tmp_path / "cut", *CHANGES, "--set", "loop.steps=20")
    assert all(torch.equal(a, weights(tuned)[name]) for name, a in weights(tmp_path / "cut").items())
    assert losses(tmp_path / "cut") == losses(tuned)


def test_adapters_leave_the_weights_as_they_were(demo, sums, tmp_path):
    out = tmp_path / "lora"
    changes = [*CHANGES, "--set", "loop.steps=20", "--set", "model.lora={rank=8}"]
    run("sft", demo / "run", sums, "--output", out, "--lora", *changes)
    before, after = weights(demo / "run"), weights(out)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert {name.rpartition(".")[2] for name in after.keys() - before.keys()} == {"lora_a", "lora_b"}
    assert losses(out)[-1] < losses(out)[0] - 0.1  # the embedding, of 12 steps of training, is frozen
    assert read_state(find_checkpoint(out)).settings["model"]["lora"]["rank"] == 8
    run("export", out, "--output", tmp_path / "exported")
    merged = run("import", tmp_path / "exported", "--output", tmp_path / "imported")
    assert "imported" in merged
    greedy = ["--set", "temperature=0", "--set", "max_new_tokens=8"]
    assert run("generate", out, "3", *greedy) == run("generate", tmp_path / "imported", "3", *greedy)
    run("sft", out, sums, "--output", tmp_path / "further", *CHANGES, "--set", "loop.steps=2")  # adapters are merged
    assert weights(tmp_path / "further").keys() == before.keys()


def test_wrong_starts_and_files_are_refused_in_one_line(demo, sums, tuned, tmp_path):
    with pytest.raises(UserError, match="longer than the model's context of 64"):
        run("sft", demo / "run", sums, "--output", tmp_path / "a", "--set", "chat.sequence_length=65")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{}\n")
    with pytest.raises(UserError, match="no item can be used"):
        run("sft", demo / "run", empty, "--output", tmp_path / "b", "--set", "chat.sequence_length=32")
    with pytest.raises(UserError, match="other settings"):
        run("sft", tuned, sums, "--output", tuned, *CHANGES, "--set", "loop.steps=20")  # another start
    assert not (tmp_path / "a").exists()
