from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import UsageError

from tests.trainer.commands.invoke import run
from tests.trainer.curated import pages
from trainer.cli import train


def test_a_run_is_evaluated(demo: Path) -> None:
    quiz = demo / "quiz.jsonl"
    quiz.write_text(json.dumps({"query": "Question: Which?", "choices": ["ice", "fire"], "gold": 1}) + "\n")
    printed = run("eval", demo / "run", "--task", quiz, "--output", demo / "eval.json")
    report = json.loads((demo / "eval.json").read_text())
    assert report["tasks"]["quiz"]["questions"] == 1
    assert 0 < report["held_out"]["all"]["bits_per_byte"] < 8
    assert set(report["held_out"]) == {"all", "health", "software", "travel"}
    assert "quiz, 1 questions: chance 0.500, answer " in printed


def test_contamination_is_reported(demo: Path) -> None:
    evaluation = demo / "held.jsonl"
    evaluation.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in pages(200)[:3]))
    printed = json.loads(run("contamination", demo / "set", "--eval", evaluation, "--output", demo / "hits.jsonl"))
    assert printed["sets"]["held"] == {"items": 3, "too_short": 0, "found": 3, "documents": 3}
    assert len((demo / "hits.jsonl").read_text().splitlines()) == 3
    chats = demo / "chats.jsonl"
    chats.write_text(
        json.dumps({"messages": [{"content": pages(200)[1]["text"]}, {"content": "ok"}]}) + "\n" + '{"a": "b"}\n'
    )
    printed = json.loads(run("contamination", chats, "--eval", evaluation, "--clean", demo / "clean.jsonl"))
    assert printed["contaminated"] == 1
    assert printed["canaries"]["recall"] == 1.0
    assert (demo / "clean.jsonl").read_text() == '{"a": "b"}\n'
    with pytest.raises(UsageError, match="exclude"):
        train.main(
            ["contamination", str(demo / "set"), "--eval", str(evaluation), "--clean", "x"], standalone_mode=False
        )


def test_the_order_of_a_file_is_tested(demo: Path) -> None:
    examples = demo / "examples.jsonl"
    examples.write_text("".join(json.dumps({"text": row["text"][:60]}) + "\n" for row in pages(20)))
    assert run("order-test", demo / "run", examples, "--runs", 4, "--shuffles", 2).startswith("p = ")
