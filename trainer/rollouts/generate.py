"""Generate text for a batch of prompts; a decoder's keys and values are cached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from pydantic import Field
from torch import Tensor

from trainer.data.tokenizer import Tokenizer
from trainer.model.decoder import Decoder
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.key_value_cache import KeyValueCache
from trainer.settings import Settings


class GenerateSettings(Settings):
    """How tokens are sampled."""

    max_new_tokens: int = Field(default=200, ge=1, description="most tokens generated for each prompt")
    temperature: float = Field(
        default=0.8, ge=0, description="number that divides the logits before sampling; 0 takes the most likely token"
    )
    top_k: int | None = Field(default=None, ge=1, description="sample among the k most likely tokens; all if unset")
    top_p: float | None = Field(
        default=0.95,
        gt=0,
        le=1,
        description="sample among the fewest tokens of this total probability (Holtzman 2020); all if unset",
    )
    seed: int = Field(default=0, description="seed of the random draws")


@torch.no_grad()
def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    settings: GenerateSettings,
    stop: Collection[int] = (),
    *,
    prefix: bool = False,
    log: Callable[[str], None] | None = None,
) -> list[list[int]]:
    """The tokens that follow each prompt, up to a stop token (excluded) or the limit.

    Where prompt and new tokens exceed the context, fewer are generated, and of a prompt that fills it alone the end is
    kept; `log` gets one line that says so.

    Prompts of different lengths are padded on the left; padding is masked, so with temperature 0 the result for a
    prompt does not depend on the others (sampled tokens do: all prompts share one random generator). prefix: attention
    within a prompt goes in both directions, as in the inputs of denoising.
    """
    _check_prompts(prompts)
    kept, new = fit_context(max(map(len, prompts)), settings.max_new_tokens, model.settings.context_length)
    if log is not None and (kept < max(map(len, prompts)) or new < settings.max_new_tokens):
        log(
            f"the context holds {model.settings.context_length} tokens: the last {kept:,} of a prompt are read "
            f"and at most {new:,} generated, not {settings.max_new_tokens:,}"
        )
    prompts = [prompt[-kept:] for prompt in prompts]
    settings = settings.model_copy(update={"max_new_tokens": new})
    longest = max(map(len, prompts))
    weight = model.embedding.weight
    tokens, padding = _pad_left(prompts, weight.device)  # [B, S] both
    positions = ((~padding).cumsum(dim=1) - 1).clamp(min=0)
    ids = -padding.to(torch.int32) if bool(padding.any()) else None  # below 0 on padding
    seen = torch.full((len(prompts),), longest, device=weight.device) if prefix else None
    cache = KeyValueCache(model.settings, len(prompts), longest + settings.max_new_tokens, weight)

    def states_after(written: Sequence[Tensor]) -> Tensor:
        if not written:
            return model.hidden_states(tokens, positions=positions, document_ids=ids, prefix=seen, cache=cache)[0]
        return model.hidden_states(written[-1][:, None], positions=positions[:, -1:] + len(written), cache=cache)[0]

    return _generate(model, states_after, len(prompts), settings, stop)


@torch.no_grad()
def generate_from_source(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    settings: GenerateSettings,
    start: int,
    stop: Collection[int] = (),
) -> list[list[int]]:
    """The tokens that an encoder-decoder generates for each source after `start`, up to a stop token or the limit.

    There is no cache: each new token recomputes all tokens before it.
    """
    _check_prompts(sources)
    source, padding = _pad_left(sources, model.embedding.weight.device)  # [B, S] both
    first = torch.full((len(sources),), start, device=source.device)
    encoded: list[Tensor] = []

    def states_after(written: Sequence[Tensor]) -> Tensor:
        if not encoded:
            encoded.append(model.encode(source, ~padding)[0])
        return model.decode(torch.stack([first, *written], dim=1), encoded[0], ~padding)[0]

    return _generate(model, states_after, len(sources), settings, stop)


def generate_text(
    model: Decoder | EncoderDecoder,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: GenerateSettings,
    *,
    denoises: bool,
    log: Callable[[str], None] | None = None,
) -> list[str]:
    """Each prompt with its continuation; for a model trained by denoising, only the text for the sentinels."""
    separator = tokenizer.separator
    if isinstance(model, EncoderDecoder):
        encoded = [tokenizer.encode_prompt(prompt) for prompt in prompts]
        return [tokenizer.decode(ids) for ids in generate_from_source(model, encoded, settings, separator, [separator])]
    if denoises:
        encoded = [[*tokenizer.encode_prompt(prompt), separator] for prompt in prompts]
        answers = generate(model, encoded, settings, [separator], prefix=True, log=log)
        return [tokenizer.decode(ids) for ids in answers]
    encoded = [[separator, *tokenizer.encode(prompt)] for prompt in prompts]
    answers = generate(model, encoded, settings, [separator], log=log)
    return [prompt + tokenizer.decode(ids) for prompt, ids in zip(prompts, answers, strict=True)]


def fit_context(prompt: int, new: int, context: int) -> tuple[int, int]:
    """The tokens of the longest prompt to keep, and those to generate: as many as fit into the context together.

    New tokens make room for the prompt; a prompt that fills the context makes room for half a context of new ones.
    """
    if prompt < context:
        return prompt, min(new, context - prompt)
    new = min(new, max(context // 2, 1))
    return max(context - new, 1), new


def _check_prompts(prompts: Sequence[Sequence[int]]) -> None:
    if not prompts or not all(prompts):
        raise ValueError("generate needs at least one prompt, and at least one token in each; begin with the separator")


def _generate(
    model: Decoder | EncoderDecoder,
    states_after: Callable[[Sequence[Tensor]], Tensor],
    rows: int,
    settings: GenerateSettings,
    stop: Collection[int],
) -> list[list[int]]:
    """Sample token after token. states_after: the hidden states [B, S, W] after the tokens [B] generated so far."""
    generator = torch.Generator(model.embedding.weight.device).manual_seed(settings.seed)
    answers: list[list[int]] = [[] for _ in range(rows)]
    running = [True] * rows
    written: list[Tensor] = []
    training = model.training
    model.eval()
    while len(written) < settings.max_new_tokens and any(running):
        logits = states_after(written)[:, -1] @ model.head_weight.T  # [B, V]
        written.append(sample(logits[:, : model.settings.vocab_size].float(), settings, generator))
        for row, token in enumerate(written[-1].tolist()):
            running[row] = running[row] and token not in stop
            if running[row]:
                answers[row].append(token)
    model.train(training)
    return answers


def _pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens int64 [B, S], and the padding, bool [B, S]."""
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    padding = torch.ones(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        padding[row, longest - len(prompt) :] = False
    return tokens.to(device), padding.to(device)


def sample(logits: Tensor, settings: GenerateSettings, generator: torch.Generator) -> Tensor:
    """One token for each sequence: logits [B, V] -> int64 [B]."""
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
    """Keep the smallest set of tokens that holds `mass` of the probability; the most likely one always stays."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= mass  # the mass before a token
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -torch.inf)
