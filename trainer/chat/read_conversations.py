"""Read files of conversations: each item's keys tell its format, and what cannot be used is counted by reason.

    messages     {"messages": [{"role": "user", "content": ...}, ...]}           Hugging Face's chat format
    ShareGPT     {"conversations": [{"from": "human", "value": ...}, ...]}
    Alpaca       {"instruction": ..., "input": ..., "output": ...}, or "instances" with several inputs and outputs
    tree         {"prompt": {"text": ..., "role": "prompter", "replies": [...]}}  Open-Assistant
    table        question, answer and perhaps a reason in each line of a .tsv file, "\\n" for line ends

Files are .json (a list), .jsonl or .tsv, plain or with .gz. Items are streamed from .jsonl and .tsv.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from trainer.chat.conversation import Conversation, ConversationError, Message, make_conversation, make_message
from trainer.chat.task_templates import ask
from trainer.errors import UserError

MAX_ITEM_BYTES = 16 << 20  # of one line; a longer one is skipped and counted
MAX_LIST_BYTES = 1 << 30  # of a .json file, which is in memory as a whole
MAX_DEPTH = 200  # messages of one path through a tree
ENDINGS = (".json", ".jsonl", ".tsv")
_SHARE_GPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "system": "system",
    "tool": "tool",
    "function_response": "tool",
    "observation": "tool",
}
_TREE_ROLES = {"prompter": "user", "assistant": "assistant"}

Read = TypeVar("Read")


@dataclass
class ReadReport:
    """How many items of the files were used, and why others were not."""

    used: Counter[str] = field(default_factory=Counter)  # by file name
    skipped: Counter[str] = field(default_factory=Counter)  # by reason

    def describe(self) -> str:
        """One line."""
        used = ", ".join(f"{name} {count:,}" for name, count in self.used.items())
        skipped = ", ".join(f"{reason} {count:,}" for reason, count in self.skipped.most_common())
        return f"{self.used.total():,} items ({used})" + (f"; skipped: {skipped}" if skipped else "")


def read_conversations(paths: Iterable[Path], report: ReadReport | None = None) -> list[Conversation]:
    """The conversations of all files, in order. Raises UserError for a file that is missing or has no usable item."""
    return read_items(paths, _item_conversations, report if report is not None else ReadReport())


def read_items(paths: Iterable[Path], convert: Callable[[Any, str], Iterable[Read]], report: ReadReport) -> list[Read]:
    """What `convert` makes of each item of the files; a ConversationError of it is counted as a skipped item."""
    found: list[Read] = []
    for path in paths:
        before = len(found)
        for item in _raw_items(path):
            try:
                if isinstance(item, ConversationError):
                    raise item
                made = list(convert(item, path.name))
            except ConversationError as error:
                report.skipped[str(error)] += 1
            else:
                found += made
        report.used[path.name] += len(found) - before
        if len(found) == before:
            reasons = ", ".join(report.skipped) or "the file is empty"
            raise UserError(f"{path}: no item can be used ({reasons}); `gristmill train sft --help` has the formats")
    return found


def _raw_items(path: Path) -> Iterator[Any]:
    """The items as JSON values, or as lists of the columns of a table; a ConversationError in place of a bad one."""
    name = path.name.removesuffix(".gz")
    ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"{path}: not a .json, .jsonl or .tsv file (or one of these with .gz)")
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            if ending == ".json":
                yield from _read_list(path, file.read(MAX_LIST_BYTES + 1))
                return
            while line := file.readline(MAX_ITEM_BYTES + 1):
                if len(line) > MAX_ITEM_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_ITEM_BYTES)
                    yield ConversationError("line over 16 MB")
                elif line.strip():
                    yield _read_columns(line) if ending == ".tsv" else _read_json(line)
    except (OSError, EOFError) as error:  # EOFError: a .gz file that was cut off
        raise UserError(f"{path}: cannot be read ({error})") from error


def _read_list(path: Path, content: bytes) -> list[Any]:
    if len(content) > MAX_LIST_BYTES:
        raise UserError(f"{path}: over 1 GiB; write it as .jsonl, which is streamed")
    try:
        items = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); lines of JSON belong into a .jsonl file") from error
    if not isinstance(items, list):
        raise UserError(f"{path}: not a list of items")
    return items


def _read_json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return ConversationError("not JSON")


def _read_columns(line: bytes) -> list[str] | ConversationError:
    try:
        columns = line.decode("utf-8").rstrip("\r\n").split("\t")
    except UnicodeDecodeError:
        return ConversationError("not UTF-8")
    return [column.replace("\\n", "\n") for column in columns]


def _item_conversations(item: Any, source: str) -> Iterator[Conversation]:
    if isinstance(item, list):
        yield _table_conversation(item, source)
    elif not isinstance(item, Mapping):
        raise ConversationError("not an object")
    elif isinstance(item.get("messages"), list):
        yield make_conversation(read_messages(item["messages"]), source)
    elif isinstance(item.get("conversations"), list):
        yield make_conversation(_read_share_gpt(item["conversations"]), source)
    elif isinstance(item.get("prompt"), Mapping):
        yield from _tree_conversations(item["prompt"], source)
    elif "instruction" in item:
        yield from _alpaca_conversations(item, source)
    else:
        raise ConversationError("unknown format")


def _table_conversation(columns: list[Any], source: str) -> Conversation:
    if not 2 <= len(columns) <= 3 or not all(isinstance(column, str) for column in columns):
        raise ConversationError("not 2 or 3 columns")
    question, answer, reason = (*columns, "")[:3]
    return ask(question, answer, reason, source)


def read_messages(items: list[Any]) -> list[Message]:
    """Messages of Hugging Face's chat format; an answer is learned unless its `train` is false."""
    messages = []
    for item in items:
        if not isinstance(item, Mapping):
            raise ConversationError("not a message")
        messages.append(make_message(item.get("role"), item.get("content"), train=item.get("train") is not False))
    return messages


def _read_share_gpt(items: list[Any]) -> list[Message]:
    if not all(isinstance(item, Mapping) for item in items):
        raise ConversationError("not a message")
    return [make_message(_SHARE_GPT_ROLES.get(item.get("from")), item.get("value"), train=True) for item in items]


def _alpaca_conversations(item: Mapping[str, Any], source: str) -> Iterator[Conversation]:
    instances = item.get("instances", [item])
    if not isinstance(instances, list) or not instances:
        raise ConversationError("no answer")
    for instance in instances:
        if not isinstance(instance, Mapping):
            raise ConversationError("not an object")
        messages = [
            alpaca_prompt(item["instruction"], instance.get("input")),
            make_message("assistant", instance.get("output"), train=True),
        ]
        yield make_conversation(messages, source)


def alpaca_prompt(instruction: Any, text: Any = None) -> Message:
    """The user's message of an instruction and the text that it is about, if there is one."""
    prompt = make_message("user", instruction)
    return make_message("user", f"{prompt.content.strip()}\n\n{text.strip()}") if _is_text(text) else prompt


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _tree_conversations(root: Mapping[str, Any], source: str) -> Iterator[Conversation]:
    """One conversation a path from the root to a leaf; an answer that several paths share is learned in the first."""
    paths: list[tuple[Mapping[str, Any], tuple[Message, ...]]] = [(root, ())]  # a message and those before it
    while paths:
        node, before = paths.pop()
        messages = (*before, tree_message(node, train=True))
        if len(messages) > MAX_DEPTH:
            raise ConversationError("tree over 200 messages deep")
        replies = usable_replies(node)
        for number, reply in reversed(list(enumerate(replies))):
            shared = messages if number == 0 else tuple(_untrained(message) for message in messages)
            paths.append((reply, shared))
        if not replies and any(message.train for message in messages):
            yield make_conversation(messages, source)


def _untrained(message: Message) -> Message:
    return Message(message.role, message.content)


def usable_replies(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The replies of a tree's message, best first, without empty and deleted ones and those that failed review.

    A `rank` that is no whole number is refused: NaN, which Python's JSON reader lets through, has no place in an order.
    """
    replies = node.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, Mapping) for reply in replies):
        raise ConversationError("not a tree")
    if not all(isinstance(reply.get("rank"), (int, NoneType)) for reply in replies):
        raise ConversationError("rank is no whole number")
    good = [reply for reply in replies if not reply.get("deleted") and reply.get("review_result") is not False]
    kept = [reply for reply in good if _is_text(reply.get("text"))]
    return sorted(kept, key=lambda reply: (reply.get("rank") is None, reply.get("rank") or 0))


def tree_message(node: Mapping[str, Any], *, train: bool = False) -> Message:
    """A message of a tree."""
    return make_message(_TREE_ROLES.get(str(node.get("role"))), node.get("text"), train=train)
