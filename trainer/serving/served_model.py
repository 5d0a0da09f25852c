"""A run that is served: its model answers one request at a time, and a bounded number of others wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from trainer.chat.chat_template import ChatTemplate
from trainer.data.tokenizer import Tokenizer
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings, stream_answers
from trainer.rollouts.text_stream import TextStream

_POSITIONS = 256  # whose logits are in memory at a time


class ApiError(Exception):
    """An error in OpenAI's shape."""

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind, "param": param, "code": code}


class TextPiece(NamedTuple):
    """What one more token adds to the text of a sample."""

    sample: int
    text: str
    tokens: Sequence[int]  # all so far, the stop token included
    finish: str | None  # "stop" or "length" in a sample's last piece


class TokenScores(NamedTuple):
    """Log-probabilities at temperature 1."""

    log_probs: list[float]  # of each token but the first, given those before it
    top: list[list[tuple[int, float]]]  # the most likely tokens in their places, most likely first


@dataclass
class ServedModel:
    """A model with its tokenizer; without the control tokens of a conversation it has no `template`."""

    name: str
    model: Decoder
    tokenizer: Tokenizer
    template: ChatTemplate | None
    max_waiting: int = 8
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _places: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = threading.Semaphore(self.max_waiting + 1)

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.model.settings.context_length

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The model to oneself. Raises ApiError where too many wait for it."""
        if not self._places.acquire(blocking=False):
            raise ApiError(
                f"{self.max_waiting} requests wait for this model already; try again later",
                429,
                kind="rate_limit_error",
                code="rate_limit_exceeded",
            )
        try:
            with self._turn:
                yield
        finally:
            self._places.release()

    def pieces(
        self, prompt: Sequence[int], settings: GenerateSettings, samples: int, stops: Sequence[str], *, chat: bool
    ) -> Iterator[TextPiece]:
        """Samples token by token. The prompt and the new tokens fit into the context."""
        end = [self.template.end] if self.template is not None else []
        decode = self.template.decode_answer if chat and self.template is not None else self.tokenizer.decode
        streams = [TextStream(decode, stops) for _ in range(samples)]
        stop = [*end, self.tokenizer.separator]
        for sample, answer in stream_answers(self.model, [prompt], settings, stop, samples):
            text = streams[sample].update(answer.answer)
            answer.ended = streams[sample].ended
            finish = "stop" if answer.stopped or answer.ended else None
            if finish is None and len(answer.tokens) == settings.max_new_tokens:
                finish = "length"
            if finish is not None:
                text += streams[sample].update(answer.answer, last=True)
            yield TextPiece(sample, text, answer.tokens, finish)

    @torch.no_grad()
    def score(self, tokens: Sequence[int], top: int) -> TokenScores:
        """Log-probabilities of tokens, and the `top` most likely ones in each place."""
        found = TokenScores([], [])
        if len(tokens) < 2:
            return found
        head = self.model.head_weight
        row = torch.tensor([tokens], device=head.device)
        states, _ = self.model.hidden_states(row[:, :-1])
        for part, targets in zip(torch.split(states[0], _POSITIONS), torch.split(row[0, 1:], _POSITIONS), strict=True):
            logs = (part @ head.T)[:, : self.model.settings.vocab_size].float().log_softmax(dim=-1)
            found.log_probs.extend(logs.gather(1, targets[:, None])[:, 0].tolist())
            values, ids = logs.topk(min(top, logs.shape[1]), dim=-1)
            found.top.extend(
                [list(zip(*pair, strict=True)) for pair in zip(ids.tolist(), values.tolist(), strict=True)]
            )
        return found
