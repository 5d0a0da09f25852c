from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import UsageError

from tests.conftest import run_gristmill
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


def refuse(*words: object) -> str:
    """The one line that `gristmill train` ends with."""
    done = run_gristmill("train", *words, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_battles_are_ranked(tmp_path: Path) -> None:
    """One of two models that wins three of four battles is 400 * log10(3) = 190.8 points above the other."""
    file = tmp_path / "battles.jsonl"
    rows = [{"a": "weak", "b": "strong", "winner": winner} for winner in "bbab" * 10]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    head, *ranks = (line.split() for line in run("arena", file).splitlines())
    assert head[:3] == ["model", "battles", "score"]
    assert [line[:3] for line in ranks] == [["strong", "40", "1,095"], ["weak", "40", "905"]]
    with file.open("a") as more:
        more.write('{"a": "weak", "b": "strong", "winner": "nobody"}\n')
    line = refuse("arena", file)
    assert f"{file}, line 41: expected a, b and winner" in line


def test_win_rates_are_printed(tmp_path: Path) -> None:
    for name, preferences in (("good", [2, 2, 2, 1]), ("poor", [1, 1, 1.5, 2])):
        rows = [{"output_1": "abc", "output_2": "def", "preference": value} for value in preferences]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    files = [tmp_path / "good.json", tmp_path / "poor.json"]
    assert run("win-rate", *files).splitlines() == [
        "good.json: 75.00% of 4 (standard error 25.00%), 75.00% at equal length; the longer answer in 0%",
        "poor.json: 37.50% of 4 (standard error 23.94%), 37.50% at equal length; the longer answer in 0%",
    ]
    files[0].write_text("[")
    line = refuse("win-rate", files[0])
    assert f"{files[0]}: not a list of judged pairs" in line
