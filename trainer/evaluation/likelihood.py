"""Log-likelihoods of continuations under a model, computed as in lm-evaluation-harness.

A pair of texts is encoded as one text, and the continuation is what follows as many tokens as the context alone has;
spaces at the end of the context belong to the continuation. Where nothing follows, because a token spans the join of
the two texts (`x tok` and `enizer`), the harness ends with an error; here the continuation begins with that token. A
pair longer than the model's context is truncated on the left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError

Model = Callable[[Tensor], Tensor]  # int64 [B, S] -> logits [B, S, V]


class Pair(NamedTuple):
    """A continuation to score after a context, in tokens. The context has at least one token."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


class Score(NamedTuple):
    """ln P(continuation | context), and whether greedy decoding would produce it."""

    likelihood: float
    greedy: bool


@dataclass(frozen=True)
class Scorer:
    """A model with its tokenizer, ready to score."""

    model: Model
    tokenizer: Tokenizer
    context: int  # most tokens in one forward pass
    device: torch.device | str = "cpu"
    tokens_at_once: int = 8192  # in one forward pass, padding included
    separator_first: bool = True  # before every text, as in training (add_bos_token=True in the harness)
    progress: bool = False

    def pair(self, context: str, continuation: str) -> Pair:
        """The tokens of a context and its continuation."""
        stripped = context.rstrip()
        continuation = context[len(stripped) :] + continuation
        start = [self.tokenizer.separator] if self.separator_first or not stripped else []
        before = start + self.tokenizer.encode(stripped)
        whole = start + self.tokenizer.encode(stripped + continuation)
        if continuation and len(whole) <= len(before):
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
            return Pair(tuple(whole[:shared]) or (self.tokenizer.separator,), tuple(whole[shared:]))
        return Pair(tuple(before), tuple(whole[len(before) :]))

    def scores(self, pairs: Sequence[Pair]) -> list[Score]:
        """The score of each pair. Pairs with equal inputs (one-token answers) share a forward pass."""
        places: dict[tuple[int, ...], list[int]] = {}
        for index, pair in enumerate(pairs):
            places.setdefault(self._inputs(pair), []).append(index)
        scores = [Score(0.0, True)] * len(pairs)
        waiting = sorted((inputs for inputs in places if inputs), key=len, reverse=True)
        with tqdm(total=len(waiting), desc="score", disable=None if self.progress else True) as bar:
            for rows in _batches(waiting, self.tokens_at_once):
                for inputs, logits in zip(rows, self._logits(rows), strict=True):
                    for index in places[inputs]:
                        scores[index] = _score(logits[: len(inputs)], pairs[index].continuation)
                bar.update(len(rows))
        return scores

    def _inputs(self, pair: Pair) -> tuple[int, ...]:
        """The model's inputs: all tokens but the last, truncated on the left."""
        if not pair.continuation:
            return ()
        if len(pair.continuation) > self.context:
            raise UserError(
                f"a continuation of {len(pair.continuation)} tokens does not fit the model's context of {self.context}"
            )
        return (*pair.context, *pair.continuation)[-self.context - 1 : -1]

    @torch.inference_mode()
    def _logits(self, rows: Sequence[tuple[int, ...]]) -> Tensor:
        """Logits of rows, padded on the right, which a causal model does not attend to."""
        width = len(rows[0])
        padded = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        return self.model(padded)


def _batches(rows: Sequence[tuple[int, ...]], tokens: int) -> Iterator[Sequence[tuple[int, ...]]]:
    """Rows, the longest first, in groups of at most `tokens` tokens, padding included."""
    start = 0
    while start < len(rows):
        count = max(1, tokens // len(rows[start]))
        yield rows[start : start + count]
        start += count


def _score(logits: Tensor, continuation: tuple[int, ...]) -> Score:
    """logits [S, V] of which the last ones predict the continuation."""
    predicted = logits[-len(continuation) :].float()
    targets = torch.tensor(continuation, device=predicted.device)
    likelihoods = predicted.log_softmax(dim=-1).gather(1, targets[:, None])
    return Score(float(likelihoods.double().sum()), bool((predicted.argmax(dim=-1) == targets).all()))
