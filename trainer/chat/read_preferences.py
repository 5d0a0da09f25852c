"""Read files of preferences or ratings: an item's keys tell its format; what cannot be used is counted by reason.

HH-RLHF      {"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": ...}, dialogues that differ at the end
pair         {"prompt": text or messages, "chosen": text or messages, "rejected": text or messages}
judged       {"instruction": ..., "output_1": ..., "output_2": ..., "preference": 1 or 2}      AlpacaEval
tree         an Open-Assistant tree: of each message's ranked replies the best against every other
rated        {"prompt": text or messages, "completion": text or messages, "label": true or false}, one answer
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.chat.conversation import (
    ConversationError,
    Message,
    Preference,
    RatedAnswer,
    make_message,
    make_preference,
    make_rated_answer,
)
from trainer.chat.read_conversations import (
    ReadReport,
    alpaca_prompt,
    read_items,
    read_messages,
    tree_message,
    usable_replies,
)

LARGEST_MARGIN = float(np.finfo(np.float32).max)  # losses are computed in fp32
_TURN = re.compile(r"\n\n(Human|Assistant):")
_TURN_ROLES = {"Human": "user", "Assistant": "assistant"}


def read_preferences(paths: Iterable[Path], report: ReadReport | None = None) -> list[Preference]:
    """The preferences of all files, in order. Raises UserError for a file of which none is usable."""
    return read_items(paths, item_preferences, report if report is not None else ReadReport())


def item_preferences(item: Any, source: str) -> Iterator[Preference]:
    """The preferences of one item of a file. Raises ConversationError."""
    if not isinstance(item, Mapping):
        raise ConversationError("not an object")
    if "output_1" in item:
        found = _judged_pair(item)
    elif isinstance(item.get("prompt"), Mapping):
        yield from (replace(pair, source=source) for pair in _tree_pairs(item["prompt"]))
        return
    elif "prompt" in item:
        found = _explicit_pair(item)
    elif isinstance(item.get("chosen"), str):
        found = _dialogue_pair(item)
    else:
        raise ConversationError("unknown format")
    yield replace(found, source=source)


def read_rated_answers(paths: Iterable[Path], report: ReadReport | None = None) -> list[RatedAnswer]:
    """The rated answers of all files, in order; a preference is two of them, a tie none.

    Raises UserError for a file of which none is usable.
    """
    return read_items(paths, _item_answers, report if report is not None else ReadReport())


def _item_answers(item: Any, source: str) -> Iterator[RatedAnswer]:
    if isinstance(item, Mapping) and "completion" in item and "chosen" not in item:
        yield make_rated_answer(_read_prompt(item.get("prompt")), _last_answer(item["completion"]), item.get("label"))
        return
    for pair in item_preferences(item, source):
        if pair.tie:
            raise ConversationError("tie")
        yield RatedAnswer(pair.prompt, pair.chosen, desirable=True)
        yield RatedAnswer(pair.prompt, pair.rejected, desirable=False)


def _judged_pair(item: Mapping[str, Any]) -> Preference:
    """`preference` 1 or 2; 0, and 1.5 from several judges, is a tie."""
    preference = 1.5 if item.get("preference") == 0 else item.get("preference")
    if not isinstance(preference, (int, float)) or not 1 <= preference <= 2:
        raise ConversationError("no preference")
    prompt = [alpaca_prompt(item.get("instruction"), item.get("input"))]
    first, second = item["output_1"], item.get("output_2")
    chosen, rejected = (first, second) if preference < 1.5 else (second, first)
    return make_preference(prompt, chosen, rejected, tie=preference == 1.5)


def _explicit_pair(item: Mapping[str, Any]) -> Preference:
    answers = [_last_answer(item.get(key)) for key in ("chosen", "rejected")]
    margin = item.get("margin", 0.0)
    if not isinstance(margin, (int, float)) or not abs(margin) <= LARGEST_MARGIN:  # NaN, too, is not below it
        raise ConversationError("margin is no finite number")
    prompt = _read_prompt(item["prompt"])
    return make_preference(prompt, *answers, margin=float(margin), tie=item.get("tie") is True)


def _read_prompt(value: Any) -> list[Message]:
    """A prompt that is given as text or as messages."""
    return read_messages(value) if isinstance(value, list) else [make_message("user", value)]


def _last_answer(value: Any) -> Any:
    """The text of an answer that is given as text or as messages."""
    if not isinstance(value, list):
        return value
    messages = read_messages(value)
    if not messages or messages[-1].role != "assistant":
        raise ConversationError("no answer")
    return messages[-1].content


def _dialogue_pair(item: Mapping[str, Any]) -> Preference:
    """Two dialogues with one prompt; what they share is the prompt, up to the last turn of the assistant."""
    chosen, rejected = (_split_dialogue(item.get(key)) for key in ("chosen", "rejected"))
    if len(chosen) < 2 or chosen[:-1] != rejected[:-1] or chosen[-1].role != "assistant":
        raise ConversationError("the prompts differ")
    return make_preference(chosen[:-1], chosen[-1].content, rejected[-1].content)


def _split_dialogue(text: Any) -> list[Message]:
    if not isinstance(text, str):
        raise ConversationError("not a dialogue")
    first, *parts = _TURN.split(text)
    if first.strip() or not parts:
        raise ConversationError("not a dialogue")
    turns = zip(parts[::2], parts[1::2], strict=True)
    return [make_message(_TURN_ROLES[name], content.strip()) for name, content in turns]


def _tree_pairs(root: Mapping[str, Any]) -> Iterator[Preference]:
    nodes: list[tuple[Mapping[str, Any], tuple[Message, ...]]] = [(root, ())]
    while nodes:
        node, before = nodes.pop()
        prompt = (*before, tree_message(node))
        replies = usable_replies(node)
        nodes += [(reply, prompt) for reply in replies]
        ranked = [reply for reply in replies if reply.get("rank") is not None and reply.get("role") == "assistant"]
        for worse in ranked[1:]:
            try:
                yield make_preference(prompt, ranked[0].get("text"), worse.get("text"))
            except ConversationError:  # equal answers of two people
                continue
