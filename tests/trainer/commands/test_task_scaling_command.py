"""`gristmill train task-scaling`: its scores are those of single forwards of its runs, on tasks that none has seen."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.trainer.commands.invoke import run
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.read_conversations import read_conversations
from trainer.tasks.start_model import open_start
from trainer.training.saved_model import load_decoder

KINDS = ("sums", "copy", "reverse", "count")


def test_runs_are_measured_on_unseen_tasks_and_not_repeated(demo: Path, tmp_path: Path) -> None:
    tasks = [tmp_path / f"{kind}.jsonl" for kind in KINDS]
    for kind, path in zip(KINDS, tasks, strict=True):
        run("make-tasks", kind, "--count", 40, "--output", path)
    changes = ["loop.threads=1", "loop.precision=float32", "schedule.learning_rate=0.01", "schedule.warmup_steps=0"]
    changes += ["chat.sequence_length=32", "chat.batch_size=4"]
    words = ["--tasks", "tokens=120", "--tasks", "seeds=1", *(word for change in changes for word in ("--set", change))]
    printed = run("task-scaling", demo / "run", *tasks, "--output", tmp_path / "study", *words)
    rows = json.loads((tmp_path / "study" / "task_scaling.json").read_text())["runs"]
    assert [(row["seed"], len(row["tasks"])) for row in rows] == [(0, 1), (0, 2), (0, 3)]
    assert all(not {*row["tasks"]} & {*row["scores"]} for row in rows)
    assert all(abs(row["tokens"] - 120) <= row["tokens"] / row["steps"] for row in rows)
    assert "every run learned the same number of answer tokens" in printed
    last = rows[-1]
    (name, score), folder = next(iter(last["scores"].items())), tmp_path / "study" / "tasks-3-seed-0"
    model, template = load_decoder(folder), ChatTemplate(open_start(folder).tokenizer)
    total = tokens = right = 0.0
    for conversation in read_conversations([tmp_path / name]):  # one at a time, without padding
        item = template.encode(conversation)
        with torch.no_grad():
            log_probs = model(torch.tensor(item.tokens[None, :-1].astype(int))).logits[0].log_softmax(-1)
        places = [place for place in range(len(item.tokens) - 1) if item.learned[place + 1]]
        total -= sum(float(log_probs[place, item.tokens[place + 1]]) for place in places)
        tokens += len(places)
        right += all(int(log_probs[place].argmax()) == item.tokens[place + 1] for place in places)
    assert score["loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert score["accuracy"] == right / 40
    assert score["loss"] < math.log(768)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("study/*/checkpoints/*/*")}
    again = run("task-scaling", demo / "run", *tasks, "--output", tmp_path / "study", *words)
    assert again.splitlines()[-5:] == printed.splitlines()[-5:]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("study/*/checkpoints/*/*")} == before
