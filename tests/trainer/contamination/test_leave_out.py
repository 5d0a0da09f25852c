"""What holds an evaluation item is left out of chat data, and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.chat.conversation import Conversation, Message, make_conversation, make_message, make_preference
from trainer.chat.read_conversations import ReadReport
from trainer.contamination.leave_out import (
    DecontaminateSettings,
    conversation_text,
    leave_out_items,
    preference_text,
)
from trainer.errors import UserError

STEM = "Which of these metals melts at the lowest temperature when it is heated slowly in a closed iron vessel at noon?"
SHORT = "Who wrote the very long book of whales?"


@pytest.fixture
def settings(tmp_path: Path) -> DecontaminateSettings:
    quiz = {"question": STEM, "choices": {"text": ["tin", "gallium"], "label": ["A", "B"]}, "answerKey": "B"}
    (tmp_path / "quiz.jsonl").write_text(json.dumps(quiz) + "\n")
    (tmp_path / "facts.jsonl").write_text(json.dumps({"q": SHORT, "a": "Melville"}) + "\n")
    return DecontaminateSettings(sets=(tmp_path / "quiz.jsonl", tmp_path / "facts.jsonl"))


def talk(*turns: str) -> Conversation:
    roles = ("user", "assistant") * len(turns)
    return make_conversation([make_message(role, turn, train=True) for role, turn in zip(roles, turns, strict=False)])


def test_conversations_with_an_item_are_counted_by_set_also_where_many_have_it(settings: DecontaminateSettings) -> None:
    """Over 100 copies: `gristmill train contamination` would take its n-grams for ubiquitous."""
    clean = [talk("Which metals melt?", "Tin."), talk(" ".join(STEM.split()[:14]), "Go on."), talk(SHORT, "Nobody.")]
    copies = [talk(f"Question {n}. {STEM.upper()}", "Gallium") for n in range(150)]
    split = talk("Hello", "Ask.", " ".join(STEM.split()[:11]), f"You mean {STEM}")
    answered = talk(f"Tell me:\n{SHORT}", "Melville")
    report = ReadReport()
    kept = leave_out_items([*copies, clean[0], split, answered, *clean[1:]], conversation_text, settings, report)
    assert kept == clean
    assert report.skipped == {"holds an item of quiz": 151, "holds an item of facts": 1}
    assert "skipped: holds an item of quiz 151, holds an item of facts 1" in report.describe()


def test_pairs_are_searched_in_both_answers(settings: DecontaminateSettings) -> None:
    ask = [Message("user", SHORT)]
    clean = make_preference(ask, "Nobody", "Somebody")
    pairs = [clean, make_preference(ask, "Melville", "Nobody"), make_preference(ask, "Nobody", "Melville")]
    assert leave_out_items(pairs, preference_text, settings, ReadReport()) == [clean]


def test_sets_that_cannot_be_used_are_named(settings: DecontaminateSettings, tmp_path: Path) -> None:
    def leave_out(**changes: object) -> list[Conversation]:
        changed = DecontaminateSettings.model_validate(settings.model_dump() | changes)
        return leave_out_items([talk(STEM, "Gallium")], conversation_text, changed, ReadReport())

    assert len(leave_out(sets=())) == 1
    with pytest.raises(UserError, match=r"gone.jsonl: cannot be read"):
        leave_out(sets=(tmp_path / "gone.jsonl",))
    with pytest.raises(UserError, match="no item has 40 words"):
        leave_out(min_words=40, words=40)
    with pytest.raises(UserError, match="give other data"):
        leave_out()
