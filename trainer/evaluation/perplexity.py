"""How well a model predicts held-out text: perplexity and bits per byte, by domain.

Perplexity is a mean over tokens, and tokens differ between tokenizers: with longer tokens there are fewer of them,
each harder to predict, and perplexity is higher for the same quality. Bits per byte divides the same sum by the bytes
of the text, which do not depend on the tokenizer, so it compares any two models on the same text; it is also the size
in bits to which the model can compress a byte of text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trainer.data.corpus import Corpus
from trainer.evaluation.likelihood import Pair, Scorer


@dataclass(frozen=True, slots=True)
class TextLoss:
    """Log-loss summed over documents."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    nats: float = 0.0  # -ln P

    def __add__(self, other: TextLoss) -> TextLoss:
        return TextLoss(
            self.documents + other.documents,
            self.tokens + other.tokens,
            self.bytes + other.bytes,
            self.nats + other.nats,
        )

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / max(self.tokens, 1)

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self) -> float:
        return self.nats / max(self.bytes, 1) / math.log(2)


def split_windows(tokens: Sequence[int], separator: int, context: int, kept: int = 1) -> Iterator[Pair]:
    """A document of any length as pairs of at most `context` + 1 tokens; each token is a continuation exactly once.

    The first token is predicted from the separator; each later window has `kept` tokens of context before those that it
    predicts (1 as in lm-evaluation-harness; half of the context costs twice the time and gives every token context).
    """
    if not 1 <= kept <= context:
        raise ValueError(f"a window keeps 1 to {context} tokens of context, not {kept}")
    end = min(context, len(tokens))
    if tokens:
        yield Pair((separator,), tuple(tokens[:end]))
    while end < len(tokens):
        start, end = end, min(end + context - kept + 1, len(tokens))
        yield Pair(tuple(tokens[max(end - context - 1, 0) : start]), tuple(tokens[start:end]))


def measure_loss(
    scorer: Scorer, documents: Iterable[tuple[str, Sequence[int], int]], kept: int = 1
) -> dict[str, TextLoss]:
    """{group: sums} over (group, tokens without separator, bytes); "" is the sum of all groups."""
    pairs: list[Pair] = []
    owners: list[str] = []
    losses: dict[str, TextLoss] = {"": TextLoss()}
    for group, tokens, size in documents:
        for pair in split_windows(tokens, scorer.tokenizer.separator, scorer.context, kept):
            pairs.append(pair)
            owners.append(group)
        losses[group] = losses.get(group, TextLoss()) + TextLoss(1, len(tokens), size)
    for group, score in zip(owners, scorer.scores(pairs), strict=True):
        losses[group] += TextLoss(nats=-score.likelihood)
    total = sum((loss for group, loss in losses.items() if group), start=losses[""])
    return {"": total} | {group: losses[group] for group in sorted(losses) if group}


def held_out_documents(corpus: Corpus, limit: int | None = None) -> Iterator[tuple[str, Sequence[int], int]]:
    """(domain, tokens, bytes) of documents in the order of their hashes; with `limit` at most that many."""
    order = corpus.key.argsort()[:limit]
    for index in order:
        domain = corpus.domains[corpus.domain[index]] or "none"
        yield domain, corpus.document(int(index))[1:].tolist(), int(corpus.bytes[index])
