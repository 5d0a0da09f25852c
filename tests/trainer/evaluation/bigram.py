"""A scorer of a fixed random bigram model, whose likelihoods can be added up by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.data.tokenizer import Tokenizer
from trainer.evaluation.likelihood import Scorer


def bigram(vocabulary: int) -> Tensor:
    """ln P(next | token) of a fixed random chain, [V, V]."""
    return torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(1)).log_softmax(-1)


def scorer(tokenizer: Tokenizer, context: int = 32, seen: list[Tensor] | None = None) -> Scorer:
    table = bigram(tokenizer.vocab_size)

    def model(tokens: Tensor) -> Tensor:
        if seen is not None:
            seen.append(tokens)
        return table[tokens] + 7.5  # logits need not be normalized

    return Scorer(model, tokenizer, context, tokens_at_once=100)


def by_hand(tokens: list[int], start: int, table: Tensor) -> float:
    """The sum of a chain's log-probabilities from token `start` on."""
    return sum(float(table[tokens[n - 1], tokens[n]]) for n in range(start, len(tokens)))
