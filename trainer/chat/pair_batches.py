"""Pairs of answers as the rows of batches: each pair in two rows of its own that follow one another.

preferred, rejected, preferred, rejected, ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from trainer.chat.chat_batches import ChatBatches, ChatSettings, Rows, fill_rows, is_held_out
from trainer.chat.chat_template import ChatTemplate, Encoded, EncodedPair
from trainer.chat.conversation import Preference, prompt_key
from trainer.chat.read_conversations import ReadReport
from trainer.errors import UserError


class PairSettings(ChatSettings):
    """Which preferences are read."""

    files: tuple[Path, ...] = Field(default=(), description="files of preferences, .jsonl or .json, plain or with .gz")
    sequence_length: int = Field(
        default=512, ge=2, description="tokens of a prompt with an answer; more cost the prompt its beginning"
    )
    batch_size: int = Field(default=16, ge=1, description="pairs in one step, over all ranks; kto: answers")
    packing: bool = Field(default=False, description="not used: each answer has a row of its own")


@dataclass(frozen=True)
class PairBatches(ChatBatches):
    """The batches of a list of pairs, epoch after epoch without an end."""

    items: tuple[EncodedPair, ...]  # type: ignore[assignment]
    whole: bool = False  # with the last token of each answer among the inputs: where a score is read

    def fill(self, rows: Rows) -> dict[str, torch.Tensor]:
        """The model's arguments; margins and ties [rows] as well, equal in the rows of a pair."""
        pairs = [self.items[number] for row in rows for number in row]
        texts = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
        inputs = fill_rows([[_with_room(text) if self.whole else text] for text in texts])
        repeated = [pair for pair in pairs for _ in range(2)]
        inputs["margins"] = torch.tensor([pair.margin for pair in repeated], dtype=torch.float32)
        inputs["ties"] = torch.tensor([pair.tie for pair in repeated])
        return inputs

    def parts(self, item: Any) -> Sequence[Encoded]:
        """Both answers."""
        return [item.chosen, item.rejected]


def _with_room(text: Encoded) -> Encoded:
    """The text with one more token, which no row shows, so that its last one is an input."""
    return Encoded(np.append(text.tokens, text.tokens[-1:]), np.append(text.learned, False))


def cut_answers(texts: Sequence[Encoded], length: int) -> list[Encoded]:
    """One prompt with each of its answers, at most `length` tokens each: the prompt loses its beginning, all alike.

    An answer that is too long by itself loses its end. The last token is an input too where a score is read from it.
    """
    longest = max(len(text.tokens) for text in texts)
    begin = min(max(0, longest - length), int(texts[0].learned.argmax()) - 1)
    place = slice(begin, begin + length)
    return [Encoded(text.tokens[place], text.learned[place]) for text in texts]


@dataclass(frozen=True)
class SplitPairs:
    """Pairs to train on and pairs that are held out, by prompt."""

    training: tuple[EncodedPair, ...]
    held_out: tuple[EncodedPair, ...]
    report: ReadReport

    def describe(self) -> str:
        """Two lines."""
        longer = np.mean([len(pair.chosen.tokens) > len(pair.rejected.tokens) for pair in self.training])
        return (
            f"{self.report.describe()}\n{len(self.training):,} pairs to train on, {len(self.held_out):,} held out; "
            f"the preferred answer is the longer one in {longer:.0%}"
        )


def split_pairs(
    preferences: Iterable[Preference],
    settings: PairSettings,
    template: ChatTemplate,
    report: ReadReport,
    *,
    with_ties: bool,
) -> SplitPairs:
    """Encodes, cuts and splits the preferences; ties only for a loss that knows them.

    Raises UserError where none is left to train on.
    """
    sides: dict[bool, list[EncodedPair]] = {False: [], True: []}
    for preference in preferences:
        if preference.tie and not with_ties:
            report.skipped["tie"] += 1
            continue
        pair = template.encode_pair(preference)
        chosen, rejected = cut_answers((pair.chosen, pair.rejected), settings.sequence_length)
        cut = replace(pair, chosen=chosen, rejected=rejected)
        if np.array_equal(cut.chosen.tokens, cut.rejected.tokens):
            report.skipped["equal answers after cutting"] += 1
        else:
            sides[is_held_out(prompt_key(preference.prompt), settings.held_out)].append(cut)
    if not sides[False]:
        raise UserError(
            f"no pair to train on, {len(sides[True]):,} held out ({report.describe()}); give more preferences, or a "
            "smaller pairs.held_out"
        )
    return SplitPairs(tuple(sides[False]), tuple(sides[True]), report)
