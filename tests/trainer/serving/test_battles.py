"""The blind comparison hides names until the vote, draws the order, and its exports are read by what needs them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.trainer.serving.test_server import Client
from trainer.chat.read_preferences import read_preferences
from trainer.evaluation.arena import rank_models, read_battles
from trainer.serving.battles import BattleStore, ShownPair, count_votes, export_battles, export_preferences


def test_a_battle_hides_its_names_and_takes_one_vote(tmp_path: Path) -> None:
    client = Client(tmp_path, max_new_tokens=6)
    lefts: Counter[str] = Counter()
    for number in range(16):
        text = client.post("/compare/battle", {"prompt": f"The river {number}"}).get_data(as_text=True)
        assert "first" not in text
        assert "second" not in text
        first, *pieces, last = (json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line)
        assert last == {"done": True}
        body = {"battle": first["battle"], "vote": "left" if number % 2 else "tie"}
        names = client.post("/compare/vote", body).json
        assert {names["left"], names["right"]} == {"first", "second"}
        assert client.post("/compare/vote", body, 409).json["error"]["param"] == "battle"
        lefts[names["left"]] += 1
        (stored,) = [pair for pair in client.serving.store.read() if pair.id == first["battle"]]  # type: ignore[union-attr]
        for side in ("left", "right"):
            shown = "".join(piece["text"] for piece in pieces if piece["side"] == side)
            assert getattr(stored, f"{side}_answer") == shown
            assert getattr(stored, f"{side}_model") == names[side]
    texts = {
        client.post("/compare/battle", {"prompt": "The river"}).get_data(as_text=True).partition("\n\n")[2]
        for _ in range(3)
    }
    assert len(texts) == 3  # other samples each time
    assert len(lefts) == 2  # a fair coin gives one side only once in 30,000 times
    page = client.get("/compare/results").get_data(as_text=True)
    assert "<b>8</b><span>Tie</span>" in page


def test_a_conversation_goes_on_with_the_better_answer(tmp_path: Path) -> None:
    client = Client(tmp_path, max_new_tokens=4)
    store = client.serving.store
    assert store is not None

    def ask(prompt: str, after: str | None, vote: str) -> ShownPair:
        text = client.post("/compare/battle", {"prompt": prompt, "after": after}).get_data(as_text=True)
        battle = json.loads(text.partition("\n\n")[0].removeprefix("data: "))["battle"]
        client.post("/compare/battle", {"prompt": "More", "after": battle}, 409)  # nobody has voted yet
        client.post("/compare/vote", {"battle": battle, "vote": vote})
        return next(pair for pair in store.read() if pair.id == battle)

    first = ask("The river", None, "right")
    second = ask("And then?", first.id, "tie")
    assert second.messages() == [
        {"role": "user", "content": "The river"},
        {"role": "assistant", "content": first.right_answer},
        {"role": "user", "content": "And then?"},
    ]
    third = ask("At last?", second.id, "bad")
    assert third.messages()[-2]["content"] == second.left_answer
    for battle, status in ((third.id, 409), ("none", 404)):
        assert (
            client.post("/compare/battle", {"prompt": "More", "after": battle}, status).json["error"]["param"]
            == "after"
        )
    client.post("/compare/battle", {"prompt": "More", "after": 3}, 400)
    refused = client.post("/compare/battle", {"prompt": "word " * 300, "after": first.id}, 400).json["error"]
    assert refused["message"] == "the conversation fills the context; begin a new one"
    (tmp_path / "preferences.jsonl").write_text("".join(export_preferences([second])))
    if second.left_answer != second.right_answer:
        (item,) = read_preferences([tmp_path / "preferences.jsonl"])
        assert [message.content for message in item.prompt] == ["The river", first.right_answer, "And then?"]


def test_votes_of_a_store_without_conversations_are_kept(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "battles.sqlite") as connection:
        columns = "id TEXT PRIMARY KEY, time TEXT, prompt TEXT, left_model TEXT, right_model TEXT"
        connection.execute(f"CREATE TABLE battles ({columns}, left_answer TEXT, right_answer TEXT, vote TEXT)")
        connection.execute("INSERT INTO battles VALUES ('1', '', 'p', 'x', 'y', 'a', 'b', 'left')")
    store = BattleStore(tmp_path / "battles.sqlite")
    assert store.read() == [ShownPair("1", "p", "x", "y", "a", "b", "left")]
    assert store.conversation("1")[-1] == {"role": "assistant", "content": "a"}


def pair(number: int, vote: str | None, left: str = "a", right: str = "b") -> ShownPair:
    models = ("x", "y") if number % 2 else ("y", "x")
    return ShownPair(str(number), f"prompt {number}", *models, f"{left}{number}", f"{right}{number}", vote)


def test_exports_are_read_by_training_and_by_the_arena(tmp_path: Path) -> None:
    store = BattleStore(tmp_path / "battles.sqlite")
    assert store.read() == []
    votes = ["left", "right", "tie", "bad", None, "left", "right"]
    pairs = [pair(number, vote) for number, vote in enumerate(votes)]
    pairs.append(pair(7, "left")._replace(right_answer="a7"))  # equal answers
    for each in pairs:
        store.add(each)
    found = store.read()
    assert found == [each for each in pairs if each.vote]
    (tmp_path / "battles.jsonl").write_text("".join(export_battles(found)))
    battles = read_battles(tmp_path / "battles.jsonl")
    assert [(battle.a, battle.b, battle.result) for battle in battles] == [
        ("y", "x", 1), ("x", "y", 0), ("y", "x", 0.5), ("x", "y", 0.5), ("x", "y", 1), ("y", "x", 0), ("x", "y", 1),
    ]  # fmt: skip
    assert {rank.model for rank in rank_models(battles, rounds=5)} == {"x", "y"}
    (tmp_path / "preferences.jsonl").write_text("".join(export_preferences(found)))
    preferences = read_preferences([tmp_path / "preferences.jsonl"])
    assert [(item.prompt[0].content, item.chosen, item.rejected, item.tie) for item in preferences] == [
        ("prompt 0", "a0", "b0", False),
        ("prompt 1", "b1", "a1", False),
        ("prompt 2", "a2", "b2", True),
        ("prompt 5", "a5", "b5", False),
        ("prompt 6", "b6", "a6", False),
    ]


def test_votes_are_counted_with_an_interval() -> None:
    found, kinds = count_votes([pair(2 * n, vote) for n, vote in enumerate(["left"] * 8 + ["right"] * 2 + ["tie"])])
    assert [(row.model, row.wins, row.share) for row in found] == [("y", 8, 0.8), ("x", 2, 0.2)]
    low, high = 0.4902, 0.9433  # Wilson's interval of 8 in 10
    assert (found[0].low, found[0].high) == pytest.approx((low, high), abs=1e-3)
    assert kinds == {"left": 8, "right": 2, "tie": 1}
