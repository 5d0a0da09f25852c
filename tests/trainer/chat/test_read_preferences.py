"""Every format of preferences is read, and what cannot be used is counted by reason."""

from __future__ import annotations

import pytest

from tests.trainer.chat.test_read_conversations import ask_again, reply, write
from trainer.chat.conversation import Message, prompt_key
from trainer.chat.read_conversations import ReadReport
from trainer.chat.read_preferences import read_preferences, read_rated_answers

HH = "\n\nHuman: one?\n\nAssistant: two.\n\nHuman: three?\n\nAssistant:"


def test_dialogues_pairs_judgements_and_trees(tmp_path):
    tree = ask_again("q", reply("best", rank=0), reply("worse", rank=1), reply("worst", rank=2), reply("unranked"))
    user = [{"role": "user", "content": "q"}]
    items = [
        {"chosen": f"{HH} good", "rejected": f"{HH} bad"},
        {"prompt": "q", "chosen": "a", "rejected": "b", "margin": 0.5},
        {"prompt": user, "chosen": [{"role": "assistant", "content": "a"}], "rejected": "b", "tie": True},
        {"instruction": "q", "output_1": "a", "output_2": "b", "preference": 2},
        {"instruction": "q", "output_1": "a", "output_2": "b", "preference": 1.5},
        {"prompt": tree},
    ]
    found = read_preferences([write(tmp_path / "p.jsonl", items)])
    assert [(pair.chosen, pair.rejected, pair.margin, pair.tie) for pair in found] == [
        ("good", "bad", 0, False),
        ("a", "b", 0.5, False),
        ("a", "b", 0, True),
        ("b", "a", 0, False),
        ("b", "a", 0, True),
        ("best", "worse", 0, False),
        ("best", "worst", 0, False),
    ]
    assert found[0].prompt == (Message("user", "one?"), Message("assistant", "two."), Message("user", "three?"))
    assert {pair.prompt for pair in found[1:]} == {(Message("user", "q"),)}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"chosen": f"{HH} good", "rejected": "\n\nHuman: other\n\nAssistant: bad"}, "the prompts differ"),
        ({"chosen": f"{HH} good", "rejected": f"{HH} good"}, "equal answers"),
        ({"chosen": f"{HH} ", "rejected": f"{HH} bad"}, "empty message"),
        ({"chosen": "no dialogue", "rejected": "no dialogue"}, "not a dialogue"),
        ({"instruction": "q", "output_1": "a", "output_2": "b", "preference": None}, "no preference"),
        ({"prompt": [], "chosen": "a", "rejected": "b"}, "no prompt"),
        ({"prompt": "q", "chosen": "a"}, "empty message"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "margin": "much"}, "margin is no finite number"),
        *[
            ({"prompt": "q", "chosen": "a", "rejected": "b", "margin": margin}, "margin is no finite number")
            for margin in (float("nan"), float("inf"), -float("inf"), 1e39, 10**400)
        ],
        ({"instruction": "q", "output_1": "a", "output_2": "b", "preference": float("nan")}, "no preference"),
        ({"prompt": ask_again("q", reply("a", rank=0), reply("b", rank=float("nan")))}, "rank is no whole number"),
        ({"prompt": ask_again("q", reply("a", rank=0), reply("b", rank="1"))}, "rank is no whole number"),
        ({"text": "x"}, "unknown format"),
    ],
)
def test_what_cannot_be_used_is_counted_by_its_reason(tmp_path, item, reason):
    good = {"prompt": "q", "chosen": "a", "rejected": "b"}
    report = ReadReport()
    assert len(read_preferences([write(tmp_path / "p.jsonl", [good, item])], report)) == 1
    assert report.skipped == {reason: 1}


def test_prompts_are_equal_whatever_their_case_and_spaces():
    assert prompt_key([Message("user", " How\nare  YOU")]) == prompt_key([Message("user", "how are you")])
    assert prompt_key([Message("user", "a")]) != prompt_key([Message("system", "a")])


def test_rated_answers_are_read_one_by_one_and_a_pair_gives_two(tmp_path):
    user = [{"role": "user", "content": "q"}]
    items = [
        {"prompt": "q", "completion": "a", "label": True},
        {"prompt": user, "completion": [{"role": "assistant", "content": "b"}], "label": False},
        {"prompt": "q", "chosen": "c", "rejected": "d", "label": True},
        {"prompt": ask_again("q", reply("best", rank=0), reply("worse", rank=1))},
    ]
    report = ReadReport()
    found = read_rated_answers([write(tmp_path / "r.jsonl", items)], report)
    expected = [("a", True), ("b", False), ("c", True), ("d", False), ("best", True), ("worse", False)]
    assert [(rated.answer, rated.desirable) for rated in found] == expected
    assert {rated.prompt for rated in found} == {(Message("user", "q"),)}
    assert report.used == {"r.jsonl": 6}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"prompt": "q", "completion": "a"}, "label is neither true nor false"),
        ({"prompt": "q", "completion": "a", "label": 1}, "label is neither true nor false"),
        ({"prompt": "q", "completion": " ", "label": True}, "empty message"),
        ({"completion": "a", "label": True}, "empty message"),
        ({"prompt": [], "completion": "a", "label": True}, "no prompt"),
        ({"prompt": [{"role": "assistant", "content": "q"}], "completion": "a", "label": True}, "no prompt"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "tie": True}, "tie"),
    ],
)
def test_ratings_that_cannot_be_used_are_counted_by_their_reason(tmp_path, item, reason):
    report = ReadReport()
    good = {"prompt": "q", "completion": "a", "label": True}
    assert len(read_rated_answers([write(tmp_path / "r.jsonl", [good, item])], report)) == 1
    assert report.skipped == {reason: 1}
