"""Denoising objectives (T5, Raffel et al. 2020, section 3.3; UL2, Tay et al. 2022): a text becomes inputs and targets.

    spans      random spans replaced by sentinels; the targets are the sentinels, each before the span it replaces
    tokens     as spans, but tokens are chosen one by one; adjacent ones share a sentinel ("replace spans")
    drop       chosen tokens left out of the inputs; the targets are those tokens
    mass       chosen tokens replaced by one mask token; the targets are the whole text
    bert       as mass, but one in ten is replaced by a random token
    deshuffle  the inputs are shuffled; the targets are the text in order
    prefix     the inputs are the first part, the targets the rest

An encoder-decoder encodes the inputs and decodes the targets; a decoder reads both as one sequence, in which the inputs
are a prefix with attention in both directions. A sequence of a batch is one text, as in T5: separators mark where its
documents begin, but attention crosses them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from trainer.data.batches import PADDING, Batch
from trainer.settings import Settings

TokenIds = NDArray[np.int64]
HiddenPositions = NDArray[np.bool_]


class Noise(StrEnum):
    """The objectives above."""

    SPANS = "spans"
    TOKENS = "tokens"
    DROP = "drop"
    MASS = "mass"
    BERT = "bert"
    DESHUFFLE = "deshuffle"
    PREFIX = "prefix"


class DenoiserSettings(Settings):
    """One objective of a mixture. The defaults are T5's; mode tokens are UL2's [R], [S] and [X]."""

    noise: Noise = Field(
        default=Noise.SPANS, description="kind of noise: spans, tokens, drop, mass, bert, deshuffle or prefix"
    )
    share: float = Field(
        default=0.15,
        gt=0,
        lt=1,
        description="share of the tokens to hide, 0 to 1; prefix cuts at a random place instead",
    )
    mean_span: float = Field(default=3.0, ge=1, description="mean length of a hidden span, in tokens")
    weight: float = Field(default=1.0, gt=0, description="relative frequency among the denoisers of the mixture")
    mode: int | None = Field(
        default=None, ge=0, description="id of a token put before the inputs to name the objective; none if unset"
    )


class ObjectiveSettings(Settings):
    """Next-token prediction, or a mixture of denoisers of which one is drawn for each sequence."""

    denoisers: tuple[DenoiserSettings, ...] = Field(
        default=(), description="the mixture of denoising objectives; next-token prediction if empty"
    )
    first_sentinel: int = Field(
        default=1, ge=0, description="id of <|sentinel_0|>, the others follow it; taken from the tokenizer if unset"
    )
    sentinels: int = Field(default=100, ge=1, description="number of sentinels in the tokenizer")
    separator: int = Field(
        default=0, ge=0, description="token id that begins the decoder's inputs and ends its targets"
    )

    @model_validator(mode="after")
    def _check_ids(self) -> ObjectiveSettings:
        if self.denoisers and self.first_sentinel <= self.separator < self.first_sentinel + self.sentinels:
            raise ValueError("objective.separator lies among the sentinels; take the ids from the tokenizer")
        return self

    @property
    def highest_id(self) -> int:
        """The highest id that the objective inserts; the model's vocabulary must contain it."""
        modes = [denoiser.mode for denoiser in self.denoisers if denoiser.mode is not None]
        return max([self.first_sentinel + self.sentinels - 1, self.separator, *modes])


class Example(NamedTuple):
    """One text after noise was applied."""

    inputs: TokenIds
    targets: TokenIds


def corrupt(
    text: TokenIds,
    denoiser: DenoiserSettings,
    settings: ObjectiveSettings,
    vocab_size: int,
    generator: np.random.Generator,
) -> Example:
    """Inputs and targets of a text of at least two tokens: a function of the arguments and the generator's state."""
    match denoiser.noise:
        case Noise.SPANS:
            example = _hide(text, choose_spans(len(text), denoiser, settings.sentinels, generator), settings)
        case Noise.TOKENS:
            example = _hide(text, choose_tokens(len(text), denoiser.share, settings.sentinels, generator), settings)
        case Noise.DROP:
            chosen = choose_tokens(len(text), denoiser.share, None, generator)
            example = Example(text[~chosen], text[chosen])
        case Noise.MASS | Noise.BERT:
            chosen = choose_tokens(len(text), denoiser.share, None, generator)
            example = Example(np.where(chosen, settings.first_sentinel, text), text)
            if denoiser.noise is Noise.BERT:
                random = chosen & (generator.random(len(text)) < 0.1)
                drawn = generator.integers(0, vocab_size, len(text))
                example = Example(np.where(random, drawn, example.inputs), text)
        case Noise.DESHUFFLE:
            example = Example(generator.permutation(text), text)
        case Noise.PREFIX:
            cut = int(generator.integers(1, len(text)))
            example = Example(text[:cut], text[cut:])
    if denoiser.mode is not None:
        return Example(np.concatenate(([denoiser.mode], example.inputs)), example.targets)
    return example


def choose_spans(length: int, denoiser: DenoiserSettings, most: int, generator: np.random.Generator) -> HiddenPositions:
    """Hidden positions, bool [length]: the target share, rounded, in spans of the mean length, with text before each.

    Numbers of hidden tokens and of spans depend on the length alone, so sequences of a batch stay equally long.
    Hidden and kept tokens are cut into the same number of pieces; all ways of cutting are equally likely.
    """
    hidden = min(max(round(length * denoiser.share), 1), length - 1)
    spans = min(max(round(hidden / denoiser.mean_span), 1), hidden, length - hidden, most)
    pieces = np.empty(2 * spans, dtype=np.int64)
    pieces[0::2] = _cut(length - hidden, spans, generator)
    pieces[1::2] = _cut(hidden, spans, generator)
    return np.repeat(np.arange(2 * spans) % 2 == 1, pieces)


def _cut(length: int, pieces: int, generator: np.random.Generator) -> TokenIds:
    """Lengths of `pieces` pieces of at least 1 token that add up to `length`."""
    cuts = np.sort(generator.choice(length - 1, pieces - 1, replace=False) + 1) if pieces > 1 else np.empty(0, np.int64)
    return np.diff(np.concatenate(([0], cuts, [length])))


def choose_tokens(length: int, share: float, most: int | None, generator: np.random.Generator) -> HiddenPositions:
    """Hidden positions chosen independently, bool [length]: at least one hidden, one kept, and at most `most` runs."""
    chosen = generator.random(length) < share
    if not chosen.any():
        chosen[generator.integers(length)] = True
    if chosen.all():
        chosen[generator.integers(length)] = False
    if most is not None:
        begins = chosen & ~np.concatenate(([False], chosen[:-1]))
        chosen &= np.cumsum(begins) <= most
    return chosen


def _hide(text: TokenIds, hidden: HiddenPositions, settings: ObjectiveSettings) -> Example:
    """Replace each run of hidden tokens by one sentinel in the inputs; in the targets the run follows its sentinel."""
    begins = hidden & ~np.concatenate(([False], hidden[:-1]))
    sentinels = settings.first_sentinel + np.cumsum(begins) - 1
    inputs = np.where(begins, sentinels, text)[~hidden | begins]
    targets = np.insert(text[hidden], np.flatnonzero(begins[hidden]), sentinels[begins])
    return Example(inputs, targets)


def denoising_inputs(
    batch: Batch, settings: ObjectiveSettings, vocab_size: int, encoder: bool, seed: tuple[int, int], first: int
) -> dict[str, Tensor]:
    """Keyword arguments of a model's forward pass for the sequences of a batch.

    encoder: for an encoder-decoder (see its `forward`); else for a decoder with a prefix.
    seed: (the run's seed, the step). first: index of the first sequence in the step, so that several ranks draw the
    same noise as one process.
    """
    weights = np.array([denoiser.weight for denoiser in settings.denoisers])
    texts = torch.cat((batch.inputs, batch.targets[:, -1:]), dim=1).numpy()  # [B, S + 1]
    examples = []
    for number, text in enumerate(texts, first):
        generator = np.random.Generator(np.random.PCG64([*seed, number]))
        denoiser = settings.denoisers[int(generator.choice(len(weights), p=weights / weights.sum()))]
        examples.append(corrupt(text, denoiser, settings, vocab_size, generator))
    return _for_encoder(examples, settings.separator) if encoder else _for_decoder(examples, settings.separator)


def _for_encoder(examples: list[Example], separator: int) -> dict[str, Tensor]:
    """source, source_ids [B, I]; tokens, token_ids, targets, weights [B, O]. Inputs are the targets, shifted."""
    source, source_ids = _pad([example.inputs for example in examples])
    ended = [np.append(example.targets, separator) for example in examples]
    targets, ids = _pad(ended)
    tokens, _ = _pad([np.concatenate(([separator], row[:-1])) for row in ended])
    rows = {"source": source, "source_ids": source_ids, "tokens": tokens, "token_ids": ids}
    return {**rows, "targets": targets, "weights": ids != PADDING}


def _for_decoder(examples: list[Example], separator: int) -> dict[str, Tensor]:
    """One sequence of inputs, separator, targets, separator; the loss counts from the first target on."""
    rows = [np.concatenate((inputs, [separator], targets, [separator])) for inputs, targets in examples]
    tokens, ids = _pad([row[:-1] for row in rows])
    targets, _ = _pad([row[1:] for row in rows])
    prefix = torch.tensor([len(example.inputs) + 1 for example in examples])  # the separator belongs to the prefix
    counted = (torch.arange(tokens.shape[1]) >= prefix[:, None] - 1) & (ids != PADDING)
    return {"tokens": tokens, "targets": targets, "weights": counted, "document_ids": ids, "prefix": prefix}


def _pad(rows: list[TokenIds]) -> tuple[Tensor, Tensor]:
    """int64 [B, longest], padded with 0, and document ids int32: 0 on tokens, PADDING after them."""
    longest = max(map(len, rows))
    values = np.zeros((len(rows), longest), dtype=np.int64)
    ids = np.full((len(rows), longest), PADDING, dtype=np.int32)
    for row, (value, mark) in zip(rows, zip(values, ids, strict=True), strict=True):
        value[: len(row)] = row
        mark[: len(row)] = 0
    return torch.from_numpy(values), torch.from_numpy(ids)
