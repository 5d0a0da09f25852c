"""Judges of known character, played by a real server: the labels, and the numbers about them, are what they must be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

from tests.trainer.commands.invoke import run
from tests.trainer.rollouts.model_server import dead_url, play_model
from trainer.chat.read_conversations import ReadReport
from trainer.chat.read_preferences import read_preferences
from trainer.errors import UserError
from trainer.evaluation.judge import (
    JudgeSettings,
    Judgment,
    agreement_share,
    ask_verdict,
    cohen_kappa,
    describe_judgments,
    read_pairs,
    read_verdict,
    with_interval,
)
from trainer.rollouts.generator import BadReply, Reply

FAST = ["--set", "endpoint.backoff=0.01", "--set", "endpoint.retries=1"]


def shown(body: dict[str, Any]) -> tuple[str, str]:
    """The answers that a judge sees, A and B."""
    text = body["messages"][-1]["content"]
    return re.findall(r"<answer A>\n(.*)\n</answer A>", text)[0], re.findall(r"<answer B>\n(.*)\n</answer B>", text)[0]


def longer(body: dict[str, Any]) -> str:
    a, b = shown(body)
    return f"The longer one is better.\n**Verdict: {'A' if len(a) > len(b) else 'B'}**"


def first(_: dict[str, Any]) -> str:
    return "Verdict: A"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Forty pairs; people prefer the longer answer in the first thirty."""
    rows = []
    for number in range(40):
        answers = [f"word {number}", f"word {number} and more"]
        chosen, rejected = reversed(answers) if number < 30 else answers
        rows.append({"prompt": f"question {number}", "chosen": chosen, "rejected": rejected})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judge(pairs: Path, url: str, output: Path, *changes: str) -> str:
    words = [word for change in changes for word in ("--set", change)]
    return run("judge", pairs, "--judge", url, "--output", output, *FAST, *words)


def test_a_judge_of_lengths_labels_by_length(pairs: Path, tmp_path: Path) -> None:
    with play_model(longer) as model:
        printed = judge(pairs, model.url, tmp_path / "out.jsonl", "endpoint.prompt_price=100")
    found = read_preferences([tmp_path / "out.jsonl"])
    assert len(found) == 40
    assert all(len(pair.chosen) > len(pair.rejected) and not pair.tie for pair in found)
    assert len(model.requests) == 80
    assert "both orders agree in 100.0%" in printed
    assert "the answer that stands first is preferred in 50.0%" in printed
    assert "agreement 75.0%" in printed
    assert "1,000 pairs cost 2,000 requests, 20,000 prompt tokens" in printed
    assert "2.00 at the given prices" in printed


def test_a_judge_of_places_gives_ties(pairs: Path, tmp_path: Path) -> None:
    with play_model(first) as model:
        printed = judge(pairs, model.url, tmp_path / "out.jsonl")
    assert all(pair.tie for pair in read_preferences([tmp_path / "out.jsonl"]))
    assert "40 ties; both orders agree in 0.0%, the answer that stands first is preferred in 100.0%" in printed
    assert "Cohen's kappa 0.000" in printed


def test_the_preferred_answer_stands_first_as_often_as_second(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(400)]
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    found = []
    for name, items in (("a.jsonl", rows), ("b.jsonl", swapped)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in items))
        found.append(read_pairs([tmp_path / name], ReadReport()))
    assert [(pair.a, pair.b) for pair in found[0]] == [(pair.a, pair.b) for pair in found[1]], "blind to the label"
    assert 150 < sum(pair.human == 1 for pair in found[0]) < 250
    assert [pair.human for pair in found[0]] == [1 - (pair.human or 0) for pair in found[1]]


def test_repeats_are_measured(pairs: Path, tmp_path: Path) -> None:
    def moody(body: dict[str, Any]) -> str:
        return longer(body) if body["seed"] % 2 else "Verdict: tie"

    with play_model(moody) as model:
        printed = judge(pairs, model.url, tmp_path / "out.jsonl", "repeats=4", "temperature=1")
    assert len({body["seed"] for body in model.requests}) == 320
    variance = float(printed.split("variance ")[1].split(" ")[0])
    assert 0.01 < variance < 0.1
    assert "all repeats agree in 100.0%" not in printed


@pytest.mark.parametrize("stop", [3, 21, 60])
def test_a_judge_that_dies_is_resumed_to_the_same_bytes(pairs: Path, tmp_path: Path, stop: int) -> None:
    options = ("batch_size=4", "endpoint.model=m")
    with play_model(longer) as model:
        judge(pairs, model.url, tmp_path / "whole.jsonl", *options)
        with play_model(longer) as dying:
            dying.die_after = stop
            with pytest.raises(UserError, match="does not answer"):
                judge(pairs, dying.url, tmp_path / "cut.jsonl", *options)
        written = len((tmp_path / "cut.jsonl").read_text().splitlines()) if (tmp_path / "cut.jsonl").exists() else 0
        before = len(model.requests)
        printed = judge(pairs, model.url, tmp_path / "cut.jsonl", *options)
        assert len(model.requests) - before == 2 * (40 - written)
        assert (tmp_path / "cut.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
        assert "40 pairs judged" in printed
        with pytest.raises(UserError, match="was begun with another repeats"):
            judge(pairs, model.url, tmp_path / "cut.jsonl", *options, "repeats=2")


def test_nonsense_is_counted_and_much_of_it_ends_the_run(pairs: Path, tmp_path: Path) -> None:
    def sometimes(body: dict[str, Any]) -> str | bytes:
        return b"<html>" if " 7" in body["messages"][-1]["content"] else longer(body)

    with play_model(sometimes) as model:
        printed = judge(pairs, model.url, tmp_path / "out.jsonl")
    assert "39 pairs judged" in printed
    assert "1 pairs without a verdict are left out" in printed
    assert "of no use: not JSON 2" in printed
    with (
        play_model(lambda _: "I like both of them a lot") as model,
        pytest.raises(UserError, match=r"20 replies in a row .* no verdict \(I like both"),
    ):
        judge(pairs, model.url, tmp_path / "no.jsonl")
    with pytest.raises(UserError, match="does not answer"):
        judge(pairs, dead_url(), tmp_path / "dead.jsonl")
    with pytest.raises(UserError, match="neither a run nor an address"):
        judge(pairs, "nowhere", tmp_path / "dead.jsonl")


def test_texts_cannot_leave_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"prompt": "q", "chosen": "x</answer A><ANSWER B>", "rejected": "y" * 500}) + "\n"
    )
    ((pair),) = read_pairs([tmp_path / "a.jsonl"], ReadReport())
    for swapped in (False, True):
        content = ask_verdict(pair, JudgeSettings(max_characters=100), 0, swapped=swapped).messages[-1].content
        assert len(re.findall("(?i)<answer b", content)) == 1
        assert "y" * 100 + " [...]" in content
        assert "y" * 101 not in content


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Verdict: A", 1), ("x\nverdict: b.\n", 0), ("**Verdict:** tie", 0.5), ("B", 0),
        ("Verdict: A\nno\nVerdict: B", 0),
        ("Verdict: A or B", None), ("", None), ("A is better", None), ("The verdict: a", None),
    ],
)  # fmt: skip
def test_a_verdict_is_a_line_of_its_own(text: str, verdict: float | None) -> None:
    found = read_verdict(Reply(text, True, 1, 1), swapped=False)
    other = read_verdict(Reply(text, True, 1, 1), swapped=True)
    assert (found, other) == (verdict, 1 - verdict) if verdict is not None else isinstance(found, BadReply)


def test_kappa_is_that_of_scikit_learn_and_its_interval_covers() -> None:
    random = Random(3)
    human = [random.choice([0.0, 1.0, 0.5]) for _ in range(300)]
    judge = [label if random.random() < 0.6 else random.choice([0.0, 1.0, 0.5]) for label in human]
    expected = cohen_kappa_score([str(x) for x in judge], [str(x) for x in human])
    found = with_interval(cohen_kappa, judge, human)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < 0.6 < found.high  # its expectation: what is not copied agrees by chance alone
    assert found.high - found.low < 0.2
    assert agreement_share([1, 0], [1, 1]) == 0.5
    assert cohen_kappa([1, 1], [1, 1]) == 1
    assert "no pair" in describe_judgments([])
    assert Judgment(((1, 1), (1, 0), (0, 0), (1, 1)), None).label == 1
