"""Rated answers as the rows of batches: each in two rows that follow one another, the second one for KTO's drift.

    answer, mismatched, answer, mismatched, ...

A mismatched row is the prompt of an answer with the answer to another prompt: the next one of the whole step, so that
neither micro-batches nor ranks change what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

from trainer.chat.chat_batches import ChatBatches, Rows, fill_rows, is_held_out
from trainer.chat.chat_template import ChatTemplate, Encoded, EncodedAnswer
from trainer.chat.conversation import RatedAnswer, prompt_key
from trainer.chat.pair_batches import PairSettings, cut_answers
from trainer.chat.read_conversations import ReadReport
from trainer.errors import UserError


@dataclass(frozen=True)
class RatedBatches(ChatBatches):
    """The batches of a list of rated answers, epoch after epoch without an end."""

    items: tuple[EncodedAnswer, ...]  # type: ignore[assignment]

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, torch.Tensor]:
        """This rank's part of a step as the model's arguments, and what `_fill` adds."""
        return self._fill(self.rows(step), [self.share(rank, world)])[0]

    def all_batches(self) -> list[dict[str, torch.Tensor]]:
        """Every answer once, for validation, mismatched over all of them; the last batch may be smaller."""
        rows, size = self.epoch(0), self.settings.batch_size
        return self._fill(rows, [slice(begin, begin + size) for begin in range(0, len(rows), size)])

    def _fill(self, rows: Rows, places: Sequence[slice]) -> list[dict[str, torch.Tensor]]:
        """The parts of some rows that are mismatched as a whole, with two tensors [rows] more.

        desirable: the rating, equal in both rows of an answer. mismatched: whether the row measures the drift; an
        answer without another to mismatch has itself in its second row, which does not.
        """
        items = [self.items[number] for row in rows for number in row]
        others = mismatch([item.text for item in items], self.settings.sequence_length)
        parts = []
        for place in places:
            pairs = list(zip(items[place], others[place], strict=True))
            inputs = fill_rows([[text] for item, other in pairs for text in (item.text, other or item.text)])
            inputs["desirable"] = torch.tensor([item.desirable for item, _ in pairs for _ in range(2)])
            inputs["mismatched"] = torch.tensor([use for _, other in pairs for use in (False, other is not None)])
            parts.append(inputs)
        return parts

    def parts(self, item: Any) -> Sequence[Encoded]:
        """The one text, of which the rating is a part: its first token, never learned, is marked if it is desirable."""
        marked = item.text.learned.copy()
        marked[0] = item.desirable
        return [Encoded(item.text.tokens, marked)]


def mismatch(texts: Sequence[Encoded], length: int) -> list[Encoded | None]:
    """Each text's prompt with the next answer, in a ring, that is another one to another prompt; None without one.

    They are cut to `length` tokens as the texts were.
    """
    begins = [int(text.learned.argmax()) for text in texts]
    keys = [(text.tokens[:n].tobytes(), text.tokens[n:].tobytes()) for text, n in zip(texts, begins, strict=True)]
    found: list[Encoded | None] = []
    for place, (text, begin, (prompt, answer)) in enumerate(zip(texts, begins, keys, strict=True)):
        ring = chain(range(place + 1, len(texts)), range(place))
        other = next((n for n in ring if keys[n][0] != prompt and keys[n][1] != answer), None)
        joined = None if other is None else _join(text, begin, texts[other], begins[other])
        found.append(None if joined is None else cut_answers([joined], length)[0])
    return found


def _join(text: Encoded, begin: int, other: Encoded, begin_other: int) -> Encoded:
    """The prompt of one text with the answer of another."""
    tokens = np.concatenate([text.tokens[:begin], other.tokens[begin_other:]])
    return Encoded(tokens, np.concatenate([text.learned[:begin], other.learned[begin_other:]]))


def split_answers(
    answers: Iterable[RatedAnswer], settings: PairSettings, template: ChatTemplate, report: ReadReport
) -> tuple[tuple[EncodedAnswer, ...], tuple[EncodedAnswer, ...]]:
    """Those to train on and those that are held out by prompt, encoded and cut.

    Raises UserError where none is left to train on.
    """
    sides: dict[bool, list[EncodedAnswer]] = {False: [], True: []}
    for rated in answers:
        encoded = template.encode_rated(rated)
        (text,) = cut_answers([encoded.text], settings.sequence_length)
        side = is_held_out(prompt_key(rated.prompt), settings.held_out)
        sides[side].append(EncodedAnswer(text, encoded.desirable))
    if not sides[False]:
        raise UserError(
            f"no answer to train on, {len(sides[True]):,} held out ({report.describe()}); give more answers, or a "
            "smaller pairs.held_out"
        )
    return tuple(sides[False]), tuple(sides[True])
