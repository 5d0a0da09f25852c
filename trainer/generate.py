"""Text from a model: a batch of prompts at a time, keys and values cached, so a token costs one token's work."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from pydantic import Field
from torch import Tensor

from trainer.model import Cache, Decoder
from trainer.settings import Settings


class GenerateSettings(Settings):
    """How the next token is drawn."""

    tokens: int = Field(default=200, ge=1)  # at most, for each prompt
    temperature: float = Field(default=0.8, ge=0)  # 0: always the likeliest
    top_k: int | None = Field(default=None, ge=1)  # only among the k likeliest
    top_p: float | None = Field(
        default=0.95, gt=0, le=1
    )  # only among the likeliest that hold this mass (Holtzman 2020)
    seed: int = 0


@torch.no_grad()
def generate(
    model: Decoder, prompts: Sequence[Sequence[int]], settings: GenerateSettings, stop: Collection[int] = ()
) -> list[list[int]]:
    """The tokens that follow each prompt, up to a stop token (left out) or the limit.

    Prompts of different lengths are padded on the left; padding is masked, so every prompt is answered as if alone
    (with temperature 0; drawn tokens depend on the row, since all rows share one generator).
    """
    if not prompts or not all(prompts):
        raise ValueError("generate needs at least one prompt, and at least one token in each: begin with the separator")
    longest = max(map(len, prompts))
    if longest + settings.tokens > model.settings.context:
        raise ValueError(
            f"{longest} prompt tokens and {settings.tokens} new ones exceed the context of {model.settings.context}"
        )
    weight = model.embedding.weight
    generator = torch.Generator(weight.device).manual_seed(settings.seed)
    tokens, padding = _left_padded(prompts, weight.device)  # [B, S] both
    positions = ((~padding).cumsum(dim=1) - 1).clamp(min=0)
    ids = padding.to(torch.int32) if bool(padding.any()) else None
    cache = Cache(model.settings, len(prompts), longest + settings.tokens, weight)
    training = model.training
    model.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    running = [True] * len(prompts)
    for _ in range(settings.tokens):
        states, _ = model.hidden(tokens, positions=positions, document_ids=ids, cache=cache)
        logits = states[:, -1] @ model.head_weight.T  # [B, V]
        tokens = draw(logits[:, : model.settings.vocabulary].float(), settings, generator)[:, None]  # [B, 1]
        positions, ids = positions[:, -1:] + 1, None
        for row, token in enumerate(tokens[:, 0].tolist()):
            running[row] = running[row] and token not in stop
            if running[row]:
                answers[row].append(token)
        if not any(running):
            break
    model.train(training)
    return answers


def _left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens int64 [B, S], and bool [B, S], true on padding."""
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    padding = torch.ones(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        padding[row, longest - len(prompt) :] = False
    return tokens.to(device), padding.to(device)


def draw(logits: Tensor, settings: GenerateSettings, generator: torch.Generator) -> Tensor:
    """One token for each row of logits [B, V]: int64 [B]."""
    if settings.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / settings.temperature
    if settings.top_k is not None and settings.top_k < logits.shape[1]:
        least = logits.topk(settings.top_k, dim=-1).values[:, -1:]  # [B, 1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if settings.top_p is not None and settings.top_p < 1:
        logits = _nucleus(logits, settings.top_p)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]


def _nucleus(logits: Tensor, mass: float) -> Tensor:
    """Remove the tokens outside the smallest set that holds `mass` of the probability; the likeliest always stays."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= mass  # the mass before a token
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -torch.inf)
