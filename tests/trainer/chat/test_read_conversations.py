"""Every format of conversations is read, and what cannot be used is counted by reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.chat.conversation import Conversation, ConversationError
from trainer.chat.read_conversations import ReadReport, _item_conversations, read_conversations
from trainer.chat.task_templates import ANSWER_ONLY, WITH_REASON, ask
from trainer.errors import UserError


def write(path: Path, items: list[Any]) -> Path:
    text = json.dumps(items) if ".json" in path.suffixes and ".jsonl" not in path.suffixes else ""
    lines = text or "".join(f"{item if isinstance(item, str) else json.dumps(item)}\n" for item in items)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def shown(conversation: Conversation) -> list[tuple[str, str, bool]]:
    return [(message.role, message.content, message.train) for message in conversation.messages]


def reply(text: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"text": text, "role": "assistant", "replies": list(replies), **more}


def ask_again(text: str, *replies: dict[str, Any]) -> dict[str, Any]:
    return {"text": text, "role": "prompter", "replies": list(replies)}


def test_messages_share_gpt_and_alpaca(tmp_path):
    path = write(
        tmp_path / "mixed.jsonl.gz",
        [
            {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"},
                          {"role": "assistant", "content": "b", "train": False}, {"role": "user", "content": "c"},
                          {"role": "assistant", "content": "d"}, {"role": "user", "content": "left out"}]},
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            {"instruction": "Translate", "input": "chat", "output": "cat"},
            {"instruction": "Say", "input": "", "output": "hello"},
            {"instruction": "Add", "instances": [{"input": "1 1", "output": "2"}, {"input": "2 2", "output": "4"}]},
        ],
    )  # fmt: skip
    report = ReadReport()
    found = [shown(conversation) for conversation in read_conversations([path], report)]
    assert found == [
        [("system", "S", False), ("user", "a", False), ("assistant", "b", False), ("user", "c", False),
         ("assistant", "d", True)],
        [("user", "a", False), ("assistant", "b", True)],
        [("user", "Translate\n\nchat", False), ("assistant", "cat", True)],
        [("user", "Say", False), ("assistant", "hello", True)],
        [("user", "Add\n\n1 1", False), ("assistant", "2", True)],
        [("user", "Add\n\n2 2", False), ("assistant", "4", True)],
    ]  # fmt: skip
    assert report.describe() == "6 items (mixed.jsonl.gz 6)"


def test_each_answer_of_a_tree_is_learned_once(tmp_path):
    tree = ask_again(
        "q",
        reply("worse", rank=1),
        reply("best", ask_again("more?", reply("x", rank=1), reply("y", rank=0)), rank=0),
        reply("deleted", deleted=True),
        reply("refused by reviewers", review_result=False),
        reply(" "),
    )
    found = [shown(item) for item in read_conversations([write(tmp_path / "trees.json", [{"prompt": tree}])])]
    q, best, more = ("user", "q", False), ("assistant", "best", True), ("user", "more?", False)
    assert found == [
        [q, best, more, ("assistant", "y", True)],
        [q, ("assistant", "best", False), more, ("assistant", "x", True)],
        [q, ("assistant", "worse", True)],
    ]


def test_a_table_gets_many_wordings(tmp_path):
    lines = [f"Is {n} even?\\nOptions:\\n- yes\\n- no\t{'no' if n % 2 else 'yes'}\tIt is {n}." for n in range(200)]
    found = read_conversations([write(tmp_path / "table.tsv", [*lines[:100], *(x.rpartition("\t")[0] for x in lines)])])
    assert len({item.messages[0].content.replace(str(n), "N") for item in found for n in range(200)}) >= 10
    assert all("Options:\n- yes" in item.messages[0].content for item in found)
    assert found[0] == ask("Is 0 even?\nOptions:\n- yes\n- no", "yes", "It is 0.", "table.tsv")
    assert len({*ANSWER_ONLY, *WITH_REASON}) == len(ANSWER_ONLY) + len(WITH_REASON)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("{not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (7, "not an object"),
        ({"text": "a document"}, "unknown format"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "unknown role"),
        ({"messages": [{"role": "user", "content": ""}]}, "empty message"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no answer"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "begins with an answer"),
        ({"messages": ["x"]}, "not a message"),
        ({"instruction": "x", "output": "\n"}, "empty message"),
        ({"instruction": "x", "instances": []}, "no answer"),
        ({"instruction": "x", "output": "a\0b"}, "null character in a message"),
        ({"instruction": "x", "output": "a\ud83d"}, "half a surrogate pair in a message"),
        ({"prompt": {"text": "x", "role": "prompter", "replies": ["x"]}}, "not a tree"),
    ],
)
def test_what_cannot_be_used_is_counted_by_its_reason(tmp_path, item, reason):
    good = {"instruction": "x", "output": "y"}
    report = ReadReport()
    assert len(read_conversations([write(tmp_path / "some.jsonl", [good, item, good])], report)) == 2
    assert report.skipped == {reason: 1}
    assert report.describe().endswith(f"; skipped: {reason} 1")


def test_a_deep_tree_is_skipped(tmp_path):
    node = reply("end")
    for depth in range(300):
        node = reply("a", node) if depth % 2 else ask_again("q", node)
    report = ReadReport()
    read_conversations([write(tmp_path / "t.jsonl", [{"prompt": node}, {"instruction": "x", "output": "y"}])], report)
    assert report.skipped == {"tree over 200 messages deep": 1}


def test_a_file_of_which_nothing_is_usable_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"a\.jsonl: no item can be used \(no answer\)"):
        read_conversations([write(tmp_path / "a.jsonl", [{"messages": [{"role": "user", "content": "x"}]}])])
    with pytest.raises(UserError, match="the file is empty"):
        read_conversations([write(tmp_path / "b.jsonl", [])])
    with pytest.raises(UserError, match=r"c\.txt: not a \.json"):
        read_conversations([tmp_path / "c.txt"])
    with pytest.raises(UserError, match=r"d\.jsonl: cannot be read"):
        read_conversations([tmp_path / "d.jsonl"])
    cut = write(tmp_path / "e.jsonl.gz", [{"instruction": "x", "output": "y"}] * 50)
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"e\.jsonl\.gz: cannot be read"):
        read_conversations([cut])
    (tmp_path / "f.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match="not a list"):
        read_conversations([tmp_path / "f.json"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "role", "content", "prompt", "replies", "instruction", "output", "from", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused_by_reason(item):
    try:
        found = list(_item_conversations(item, "f"))
    except ConversationError as error:
        assert 0 < len(str(error)) < 60  # noqa: PT017 - either outcome is right
    else:
        assert all(any(message.train for message in conversation.messages) for conversation in found)
