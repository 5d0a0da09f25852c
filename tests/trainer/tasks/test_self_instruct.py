"""Self-instruct with a real server that plays a model: what is kept, what is dropped, and what a death changes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tests.trainer.commands.invoke import run
from tests.trainer.rollouts.model_server import dead_url, play_model
from trainer.chat.read_conversations import ReadReport, read_conversations
from trainer.errors import UserError
from trainer.rollouts.generator import Reply
from trainer.tasks.instruction_filters import TaskInstance, TaskPool, find_fault, keep_instances
from trainer.tasks.self_instruct import read_instances, read_seeds, read_tasks

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
SEED_TASKS = DATA / "trainer" / "sft" / "alpaca_seed_tasks.jsonl.gz"
FAST = ["--set", "endpoint.backoff=0.01", "--set", "endpoint.retries=1", "--set", "endpoint.model=m"]
WORDS = (
    "river", "stone", "letter", "garden", "music", "winter", "market", "engine", "story", "planet", "bridge", "color",
    "number", "window", "island",
)  # fmt: skip


def play(body: dict[str, Any]) -> str:
    """Tasks of random words, some of which must be dropped; labels where a task says so; instances."""
    text, random = body["messages"][-1]["content"], Random(body["seed"])
    if text.startswith("Below are tasks"):
        tasks = ["Draw a picture of this river now", "Too short", *(_task(random) for _ in range(5))]
        shown = text.split("\n1. ")[1].split("\n")[0]
        return "\n".join(f"{number}. {task}" for number, task in enumerate([*tasks, shown], 9))
    task = text.rstrip("\n").rpartition("Task: ")[2].split("\nAnswer:")[0]
    if text.startswith("Is the answer"):
        return "Yes." if task.startswith("Classify") else "no"
    if "broken" in task:
        return "I cannot think of any."
    if task.startswith("Classify"):
        return "Label: good\nInput: a fine day\n\nLabel: bad\nInput: rain again\n"
    return f"Instance 1\nInput: none\nOutput: {task[:17]}!\n\nInstance 2\nInput: a text\nOutput: its answer\n"


def _task(random: Random) -> str:
    kind = random.choice(["Classify", "Explain", "Translate", "Summarize", "Rewrite broken"])
    return f"{kind} {' '.join(random.sample(WORDS, 7))}"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {
            "instruction": f"{'Sort' if n % 3 else 'Label'} seed {' '.join(Random(n).sample(WORDS, 5))}",
            "instances": [{"input": f"text {n}", "output": "yes"}],
            "is_classification": n % 3 == 0,
        }
        for n in range(20)
    ]
    path = tmp_path_factory.mktemp("seeds") / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write(seeds: Path, url: str, output: Path, *changes: str) -> str:
    words = [word for change in changes for word in ("--set", change)]
    return run("self-instruct", seeds, "--generator", url, "--output", output, *FAST, *words)


def test_tasks_are_new_filtered_and_read_by_sft(seeds: Path, tmp_path: Path) -> None:
    with play_model(play) as model:
        printed = write(seeds, model.url, tmp_path / "out.jsonl", "count=40", "endpoint.answer_price=10")
    tasks = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(tasks) == 40
    written = [json.loads(line)["instruction"] for line in seeds.read_text().splitlines()]
    rouge = RougeScorer(["rougeL"], use_stemmer=False)
    for task in tasks:
        text = task["instruction"]
        highest = max(rouge.score(text, other)["rougeL"].fmeasure for other in written)
        assert highest - 1e-4 <= task["similarity"] < 0.7  # the pool of its round may have had further tasks
        written.append(text)
        assert find_fault(text) is None
        assert "broken" not in text
        assert task["is_classification"] == text.startswith("Classify")
        outputs = [item["output"] for item in task["instances"]]
        assert outputs == (["good", "bad"] if task["is_classification"] else [f"{text[:17]}!", "its answer"])
        assert task["instances"][0]["input"] == ("a fine day" if task["is_classification"] else "")
    conversations = read_conversations([tmp_path / "out.jsonl"])
    assert len(conversations) == 80
    assert "40 tasks in" in printed
    for reason in ("needs more than text", "too short", "not new", "no usable instance"):
        assert reason in printed.split("dropped: ")[1].split("\n")[0]
    assert "1,000 tasks cost" in printed
    assert "at the given prices" in printed
    shown = [body["messages"][0]["content"] for body in model.requests if "Below are" in body["messages"][0]["content"]]
    machine = [sum(task["instruction"] in text for task in tasks) for text in shown]
    assert machine[0] == 0
    assert max(machine) == 2


@pytest.mark.parametrize("stop", [2, 30, 75])
def test_a_generator_that_dies_is_resumed_to_the_same_bytes(seeds: Path, tmp_path: Path, stop: int) -> None:
    options = ("count=30", "requests=2")
    with play_model(play) as model:
        write(seeds, model.url, tmp_path / "whole.jsonl", *options)
        with play_model(play) as dying:
            dying.die_after = stop
            with pytest.raises(UserError, match=r"does not answer \(the connection was closed\)"):
                write(seeds, dying.url, tmp_path / "cut.jsonl", *options)
        if (tmp_path / "cut.jsonl").exists():  # what a kill may leave
            with (tmp_path / "cut.jsonl").open("a") as file:
                file.write('{"instruction": "half')
        write(seeds, model.url, tmp_path / "cut.jsonl", *options)
        assert (tmp_path / "cut.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
        asked = len(model.requests)
        assert "30 tasks" in write(seeds, model.url, tmp_path / "cut.jsonl", *options)
        assert len(model.requests) == asked, "it is done"
        with pytest.raises(UserError, match="was begun with another novelty"):
            write(seeds, model.url, tmp_path / "cut.jsonl", *options, "novelty=0.5")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>", r"20 replies in a row cannot be used, .* not JSON"),
        ("", r"no new task in 10 rounds, 0 of 1,000"),
        ("1. Draw a picture of it now\n2. Write a program that adds numbers", "asks for a program 40"),
        ("\x00\x1b[2J" * 50, "no new task in 10 rounds"),
    ],
)
def test_nonsense_ends_in_one_line(seeds: Path, tmp_path: Path, answer: str | bytes, message: str) -> None:
    with play_model(lambda _: answer) as model, pytest.raises(UserError, match=message) as found:
        write(seeds, model.url, tmp_path / "out.jsonl")
    assert "\n" not in found.value.message


def test_a_dead_endpoint_and_poor_seeds_end_in_one_line(seeds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not answer \(Connection refused\)"):
        write(seeds, dead_url(), tmp_path / "out.jsonl")
    poor = tmp_path / "poor.jsonl"
    poor.write_text(json.dumps({"instruction": "Say hello.", "output": "hello"}) + "\n")
    with pytest.raises(UserError, match="holds 1 task"):
        write(poor, dead_url(), tmp_path / "out.jsonl")
    poor.write_text('{"instances": 3}\n[]\n')
    with pytest.raises(UserError, match="no item can be used"):
        write(poor, dead_url(), tmp_path / "out.jsonl")


@given(st.lists(st.text("ab c1.", max_size=12), min_size=1, max_size=6), st.text("ab c1.", max_size=12))
def test_novelty_is_rouge_l(pool: list[str], text: str) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    expected = max(scorer.score(other, text)["rougeL"].fmeasure for other in pool)
    assert TaskPool(pool).most_similar(text)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Name three long rivers.", None),
        ("Name three rivers.", "too short"),
        ("word " * 151, "too long"),
        ("Describe the image that you see.", "needs more than text"),
        ("Go to the shop and buy milk.", "needs more than text"),
        ("Explain what photography is about.", None),
        ("Write a program that adds two numbers.", "asks for a program"),
        ("- Name three long rivers", "begins with punctuation"),
        ("Перечисли три большие реки мира", "begins outside ASCII"),
    ],
)
def test_the_filters_of_the_paper(text: str, fault: str | None) -> None:
    assert find_fault(text) == fault


def test_instances_that_cannot_be_learned_are_left_out() -> None:
    good = TaskInstance("a", "b")
    bad = [("x", ""), ("x", "x"), ("c:", "d"), ("c", "d:"), ("same", "one"), ("same", "two"), ("y", "z" * 30_000)]
    assert keep_instances([good, good, *(TaskInstance(*pair) for pair in bad)]) == [good]


def test_what_was_cut_off_is_not_read() -> None:
    assert read_tasks(Reply("9. One task\n10. Another ta", False, 1, 1)) == ["One task"]
    text = "Input: a\nOutput: b\nmore of b\n\n**Instance 2**\nInput: c\nOutput: d"
    whole = read_instances(Reply(text, True, 1, 1), is_classification=False)
    assert whole == [("a", "b\nmore of b"), ("c", "d")]
    assert read_instances(Reply(text, False, 1, 1), is_classification=False) == whole[:1]
    assert read_instances(Reply("Output: a\nOutput: b", True, 1, 1), is_classification=False) == []


@pytest.mark.skipif(not SEED_TASKS.exists(), reason="the paper's seed tasks are not here (GRISTMILL_DATA)")
def test_the_seed_tasks_of_the_paper_are_read() -> None:
    report = ReadReport()
    seeds = read_seeds([SEED_TASKS], report)
    assert len(seeds) == 175
    assert not report.skipped
    assert sum(seed.is_classification for seed in seeds) == 26
