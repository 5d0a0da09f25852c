from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import UsageError

from tests.trainer.commands.invoke import run
from tests.trainer.curated import pages
from trainer.cli import train


def test_a_run_is_evaluated(made: Path) -> None:
    quiz = made / "quiz.jsonl"
    quiz.write_text(json.dumps({"query": "Question: Which?", "choices": ["ice", "fire"], "gold": 1}) + "\n")
    said = run("eval", made / "run", "--task", quiz, "--output", made / "eval.json")
    report = json.loads((made / "eval.json").read_text())
    assert report["tasks"]["quiz"]["questions"] == 1
    assert 0 < report["held_out"]["all"]["bits_per_byte"] < 8
    assert set(report["held_out"]) == {"all", "health", "software", "travel"}
    assert "quiz, 1 questions: chance 0.500, answer " in said


def test_contamination_is_reported(made: Path) -> None:
    evaluation = made / "held.jsonl"
    evaluation.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in pages(200)[:3]))
    said = json.loads(run("contamination", made / "set", "--eval", evaluation, "--output", made / "hits.jsonl"))
    assert said["sets"]["held"] == {"items": 3, "too_short": 0, "found": 3, "documents": 3}
    assert len((made / "hits.jsonl").read_text().splitlines()) == 3
    chats = made / "chats.jsonl"
    chats.write_text(
        json.dumps({"messages": [{"content": pages(200)[1]["text"]}, {"content": "ok"}]}) + "\n" + '{"a": "b"}\n'
    )
    said = json.loads(run("contamination", chats, "--eval", evaluation, "--clean", made / "clean.jsonl"))
    assert said["contaminated"] == 1
    assert said["canaries"]["recall"] == 1.0
    assert (made / "clean.jsonl").read_text() == '{"a": "b"}\n'
    with pytest.raises(UsageError, match="exclude"):
        train.main(
            ["contamination", str(made / "set"), "--eval", str(evaluation), "--clean", "x"], standalone_mode=False
        )


def test_the_order_of_a_file_is_tested(made: Path) -> None:
    examples = made / "examples.jsonl"
    examples.write_text("".join(json.dumps({"text": row["text"][:60]}) + "\n" for row in pages(20)))
    assert run("order-test", made / "run", examples, "--runs", 4, "--shuffles", 2).startswith("p = ")
