"""One way to ask a model, whatever it is: a run on this machine (here), or an endpoint (endpoint.py).

The judge and self-instruct know only `Generator`. What a model writes is untrusted: a reply that cannot be used is a
`BadReply` that is counted, and a model that cannot be asked at all is a UserError.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.errors import UserError
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings, sample_answers

MAX_BAD_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Messages to answer, and how."""

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Reply(NamedTuple):
    """What a model wrote."""

    text: str
    finished: bool  # by the model, not by the limit
    prompt_tokens: int
    answer_tokens: int


class BadReply(NamedTuple):
    """No answer: the reason, under which it is counted, and what the endpoint said."""

    reason: str
    detail: str = ""


class Generator(Protocol):
    """A model that answers."""

    name: str  # of the model, for files and reports

    def replies(self, requests: Sequence[ChatRequest]) -> list[Reply | BadReply]:
        """One for each request, in order. Raises UserError where the model cannot be asked."""


@dataclass
class LocalGenerator:
    """The model of a run. A reply depends on its request alone, not on those that are answered beside it."""

    name: str
    model: Decoder
    template: ChatTemplate
    batch_size: int = 16

    def replies(self, requests: Sequence[ChatRequest]) -> list[Reply | BadReply]:
        """Requests with equal settings share batches."""
        prompts = [self.template.encode_prompt(request.messages) for request in requests]
        found: list[Reply | BadReply] = [BadReply("prompt longer than the context")] * len(requests)
        for places in self._batches(requests, prompts):
            first = requests[places[0]]
            settings = GenerateSettings(
                max_new_tokens=first.max_tokens, temperature=first.temperature, top_p=first.top_p
            )
            seeds = [requests[place].seed for place in places]
            chosen = [prompts[place] for place in places]
            rows = sample_answers(self.model, chosen, settings, [self.template.end], seeds=seeds)
            for place, (sample,) in zip(places, rows, strict=True):
                text = self.template.decode_answer(sample.tokens)
                found[place] = Reply(text, sample.stopped, len(prompts[place]), len(sample.tokens))
        return found

    def _batches(self, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]) -> Iterator[list[int]]:
        """Places of requests that are answered together. One whose answer may fill the context is alone: the room for
        new tokens is that beside the longest prompt."""
        groups: dict[object, list[int]] = {}
        for place, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            room = self.model.settings.context_length - len(prompt)
            alone = place if room < request.max_tokens else None
            if room > 0:
                key = (request.max_tokens, request.temperature, request.top_p, alone)
                groups.setdefault(key, []).append(place)
        for places in groups.values():
            for begin in range(0, len(places), self.batch_size):
                yield places[begin : begin + self.batch_size]


@dataclass
class Usage:
    """What was asked of a generator so far, and what it cost."""

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    bad: Counter[str] = field(default_factory=Counter)  # replies that could not be used, by reason
    bad_in_a_row: int = 0

    def ask(self, generator: Generator, requests: Sequence[ChatRequest]) -> list[Reply | BadReply]:
        """The generator's replies; requests, tokens and time are counted. `note` says of each whether it was of use."""
        begin = time.perf_counter()
        found = generator.replies(requests)
        self.seconds += time.perf_counter() - begin
        self.requests += len(found)
        for reply in found:
            if isinstance(reply, Reply):
                self.prompt_tokens += reply.prompt_tokens
                self.answer_tokens += reply.answer_tokens
        return found

    def note(self, bad: BadReply | None) -> None:
        """Count a reply that was of no use, or None for a good one. Raises UserError after many bad ones in a row."""
        if bad is None:
            self.bad_in_a_row = 0
            return
        self.bad[bad.reason] += 1
        self.bad_in_a_row += 1
        if self.bad_in_a_row >= MAX_BAD_IN_A_ROW:
            detail = f" ({bad.detail})" if bad.detail else ""
            raise UserError(
                f"{self.bad_in_a_row} replies in a row cannot be used, the last one for this reason: {bad.reason}"
                f"{detail}; look at the model's answers, or take another one"
            )

    def price(self, prompt_price: float, answer_price: float) -> float:
        """Of all tokens, at prices for a million of them."""
        return (self.prompt_tokens * prompt_price + self.answer_tokens * answer_price) / 1e6

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "bad": dict(self.bad)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Usage:
        """The usage of `to_json`."""
        return cls(**{**values, "bad": Counter(values["bad"])})

    def describe(self, count: int, what: str, prices: tuple[float, float] = (0.0, 0.0)) -> str:
        """Two lines: the totals, and what 1,000 of `what` cost; `count` of them were made."""
        bad = ", ".join(f"{reason} {number:,}" for reason, number in self.bad.most_common())
        lines = [
            f"{self.requests:,} requests, {self.prompt_tokens:,} prompt tokens, {self.answer_tokens:,} answer tokens, "
            f"{self.seconds:,.1f} s" + (f"; of no use: {bad}" if bad else "")
        ]
        if count:
            scale = 1000 / count
            cost = f", {self.price(*prices) * scale:,.2f} at the given prices" if any(prices) else ""
            lines.append(
                f"1,000 {what} cost {self.requests * scale:,.0f} requests, {self.prompt_tokens * scale:,.0f} prompt "
                f"tokens, {self.answer_tokens * scale:,.0f} answer tokens, {self.seconds * scale:,.0f} s{cost}"
            )
        return "\n".join(lines)
