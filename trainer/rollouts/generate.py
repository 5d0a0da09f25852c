"""Generate text for a batch of prompts; a decoder's keys and values are cached.

A prompt is read once for all its samples. Rows that are finished leave the batch, so that the last answer does not pay
for the others. Each row draws from a sequence of its own, made of the seed and the number of the row: a sample does not
depend on its neighbors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor

from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError
from trainer.model.decoder import Decoder
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.key_value_cache import KeyValueCache
from trainer.model.retro import EncodedNeighbors
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


@dataclass(slots=True)
class SampledAnswer:
    """What was generated for a prompt."""

    tokens: list[int] = field(default_factory=list)  # the stop token included, if there is one
    log_probs: list[float] = field(default_factory=list)  # of the tokens, at the temperature, before top_k and top_p
    stopped: bool = False  # by a stop token, not by the limit
    ended: bool = False  # set by who reads `stream_answers`: no further token is drawn

    @property
    def answer(self) -> list[int]:
        """The tokens without the stop token."""
        return self.tokens[:-1] if self.stopped else self.tokens


NeighborSource = Callable[[Sequence[Sequence[int]]], Tensor]  # whole chunks -> their neighbors, int64 [chunks, K, R]


class _Reader(Protocol):
    """A model that has read the prompts and reads further tokens, for rows that leave one by one."""

    def start(self) -> Tensor:
        """The logits [R, V] of the first token of every row."""

    def read(self, tokens: Tensor) -> Tensor:
        """The logits [R, V] after another token [R] in every row."""

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these, int [R]."""


@torch.no_grad()
def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    settings: GenerateSettings,
    stop: Collection[int] = (),
    *,
    prefix: bool = False,
    neighbors: NeighborSource | None = None,
    log: Callable[[str], None] | None = None,
) -> list[list[int]]:
    """The tokens that follow each prompt, up to a stop token (excluded) or the limit; see `sample_answers`."""
    rows = sample_answers(model, prompts, settings, stop, prefix=prefix, neighbors=neighbors, log=log)
    return [samples[0].answer for samples in rows]


def sample_answers(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    settings: GenerateSettings,
    stop: Collection[int] = (),
    samples: int = 1,
    *,
    prefix: bool = False,
    neighbors: NeighborSource | None = None,
    log: Callable[[str], None] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[list[SampledAnswer]]:
    """`samples` answers to each prompt; arguments as in `stream_answers`."""
    given: dict[str, Any] = {"prefix": prefix, "neighbors": neighbors, "log": log, "seeds": seeds}
    found = dict(stream_answers(model, prompts, settings, stop, samples, **given))
    return [[found[prompt * samples + number] for number in range(samples)] for prompt in range(len(prompts))]


@torch.no_grad()
def stream_answers(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    settings: GenerateSettings,
    stop: Collection[int] = (),
    samples: int = 1,
    *,
    prefix: bool = False,
    neighbors: NeighborSource | None = None,
    log: Callable[[str], None] | None = None,
    seeds: Sequence[int] | None = None,
) -> Iterator[tuple[int, SampledAnswer]]:
    """After each token that is drawn its row and the row's answer so far; row = prompt * samples + sample.

    Whoever reads it may set `ended` of an answer; then the row leaves the batch. Where prompt and new tokens exceed the
    context, fewer are generated, and of a prompt that fills it alone the end is kept; `log` gets one line that says so.
    Prompts of different lengths are padded on the left, and padding is masked. prefix: attention within a prompt goes
    in both directions, as in the inputs of denoising. neighbors: where a model that reads neighbors finds those of a
    chunk; it reads none if left out. seeds: one for each prompt, so that its answers do not depend on
    its place; the seed of the settings where left out.
    """
    _check_prompts(prompts)
    longest = max(map(len, prompts))
    kept, new = fit_context(longest, settings.max_new_tokens, model.settings.context_length)
    if log is not None and (kept < longest or new < settings.max_new_tokens):
        log(
            f"the context holds {model.settings.context_length} tokens: the last {kept:,} of a prompt are read "
            f"and at most {new:,} generated, not {settings.max_new_tokens:,}"
        )
    settings = settings.model_copy(update={"max_new_tokens": new})
    reader = _DecoderReader(model, [prompt[-kept:] for prompt in prompts], new, samples, prefix, neighbors)
    rows = range(len(prompts) * samples)
    draws = _draw_uniform(
        [(settings.seed, row) if seeds is None else (seeds[row // samples], row % samples) for row in rows], new
    )
    with _evaluation_mode(model):
        yield from _sample_rows(reader, draws, model.settings.vocab_size, settings, stop)


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
    reader = _EncoderDecoderReader(model, sources, start)
    draws = _draw_uniform([(settings.seed, row) for row in range(len(sources))], settings.max_new_tokens)
    with _evaluation_mode(model):
        found = dict(_sample_rows(reader, draws, model.settings.vocab_size, settings, stop))
    return [found[row].answer for row in range(len(sources))]


def generate_text(
    model: Decoder | EncoderDecoder,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: GenerateSettings,
    *,
    denoises: bool,
    neighbors: NeighborSource | None = None,
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
    answers = generate(model, encoded, settings, [separator], neighbors=neighbors, log=log)
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


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _sample_rows(
    reader: _Reader, draws: Tensor, vocab_size: int, settings: GenerateSettings, stop: Collection[int]
) -> Iterator[tuple[int, SampledAnswer]]:
    """Draw token after token in every row until it stops or the limit is reached. draws: fp64 [rows, tokens]."""
    found = [SampledAnswer() for _ in draws]
    running = list(range(len(draws)))
    logits = reader.start()
    for step in range(settings.max_new_tokens):
        logits = logits[:, :vocab_size].float()
        tokens, log_probs = sample(logits, settings, draws[running, step].to(logits.device))
        for row, token, log_prob in zip(running, tokens.tolist(), log_probs.tolist(), strict=True):
            found[row].tokens.append(token)
            found[row].log_probs.append(log_prob)
            found[row].stopped = token in stop
            yield row, found[row]
        left = [place for place, row in enumerate(running) if not (found[row].stopped or found[row].ended)]
        if not left or step + 1 == settings.max_new_tokens:
            break
        if len(left) < len(running):
            running = [running[place] for place in left]
            places = torch.tensor(left, device=tokens.device)
            reader.keep(places)
            tokens = tokens[places]
        logits = reader.read(tokens)


def _draw_uniform(seeds: Sequence[tuple[int, int]], count: int) -> Tensor:
    """Numbers in [0, 1), fp64 [rows, count], each row a function of its pair of seeds."""
    generator = torch.Generator()
    return torch.stack(
        [torch.rand(count, generator=generator.manual_seed(hash_seed(*pair)), dtype=torch.float64) for pair in seeds]
    )


def hash_seed(*parts: int | str) -> int:
    """One seed of several parts."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


class _DecoderReader:
    """A decoder with the cache of its rows; each prompt is read once and its row repeated for every sample."""

    def __init__(
        self,
        model: Decoder,
        prompts: Sequence[Sequence[int]],
        new: int,
        samples: int,
        prefix: bool,
        neighbors: NeighborSource | None = None,
    ) -> None:
        self.model, self.samples = model, samples
        weight = model.embedding.weight
        self.tokens, padding = _pad_left(prompts, weight.device)  # [P, S] both
        places = (~padding).cumsum(dim=1) - 1  # below 0 on padding
        self.positions = places.clamp(min=0)
        self.reading = None if neighbors is None else _NeighborReading(model, prompts, neighbors, places)
        self.ids = -padding.to(torch.int32) if bool(padding.any()) else None  # below 0 on padding
        longest = self.tokens.shape[1]
        self.seen = torch.full((len(prompts),), longest, device=weight.device) if prefix else None
        self.cache = KeyValueCache(model.settings, len(prompts), longest + new, weight)

    def start(self) -> Tensor:
        """Read the prompts."""
        given = {} if self.reading is None else self.reading.start()
        states, _ = self.model.hidden_states(
            self.tokens, positions=self.positions, document_ids=self.ids, prefix=self.seen, cache=self.cache, **given
        )
        logits = states[:, -1] @ self.model.head_weight.T
        self.place = self.positions[:, -1]
        if self.samples > 1:
            rows = torch.arange(len(logits), device=logits.device).repeat_interleave(self.samples)
            self.keep(rows)
            logits = logits[rows]
        return logits

    def read(self, tokens: Tensor) -> Tensor:
        """Read one more token in every row."""
        self.place = self.place + 1
        given = {} if self.reading is None else self.reading.read(tokens, self.place)
        states, _ = self.model.hidden_states(tokens[:, None], positions=self.place[:, None], cache=self.cache, **given)
        return states[:, -1] @ self.model.head_weight.T

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these; a row may be taken several times."""
        self.cache.keep(rows)
        if self.reading is not None:
            self.reading.keep(rows)
        self.place = self.place[rows]


class _NeighborReading:
    """The neighbors of every row's last whole chunk, found anew as soon as a chunk is whole."""

    def __init__(
        self, model: Decoder, prompts: Sequence[Sequence[int]], source: NeighborSource, places: Tensor
    ) -> None:
        if model.settings.retro is None:
            raise UserError("the model reads no neighbors; train one with model.retro")
        self.model, self.source, self.places = model, source, places
        self.size, self.shape = model.settings.retro.chunk_tokens, model.settings.retro
        self.texts = [list(prompt) for prompt in prompts]

    def start(self) -> dict[str, Any]:
        """Further arguments of `hidden_states` for the prompts."""
        chunks = max(max(map(len, self.texts)) // self.size, 1)
        shape = (len(self.texts), chunks, self.shape.neighbors, self.shape.neighbor_tokens)
        tokens = torch.full(shape, -1, dtype=torch.long, device=self.places.device)
        for row, text in enumerate(self.texts):
            whole = [text[at : at + self.size] for at in range(0, len(text) - self.size + 1, self.size)]
            if whole:
                tokens[row, : len(whole)] = self.source(whole).to(tokens.device)
        encoded = self.model.encode_neighbors(tokens)
        last = torch.tensor([max(len(text) // self.size - 1, 0) for text in self.texts], device=tokens.device)
        rows = torch.arange(len(self.texts), device=tokens.device)
        self.current = EncodedNeighbors(*(part[rows, last][:, None].clone() for part in encoded))
        return {"neighbors": encoded, "places": self.places}

    def read(self, tokens: Tensor, place: Tensor) -> dict[str, Any]:
        """The same for one more token [R] in every row, at these places [R]."""
        for text, token in zip(self.texts, tokens.tolist(), strict=True):
            text.append(token)
        whole = [row for row, text in enumerate(self.texts) if len(text) % self.size == 0]
        if whole:
            found = self.source([self.texts[row][-self.size :] for row in whole]).to(tokens.device)
            encoded = self.model.encode_neighbors(found[:, None])
            self.current.states[whole] = encoded.states.to(self.current.states.dtype)
            self.current.real[whole] = encoded.real
        return {"neighbors": self.current, "places": place[:, None]}

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these; a row may be taken several times."""
        self.texts = [list(self.texts[row]) for row in rows.tolist()]
        self.current = self.current.keep(rows)


class _EncoderDecoderReader:
    """An encoder-decoder that has encoded its sources and decodes all tokens anew for each further one."""

    def __init__(self, model: EncoderDecoder, sources: Sequence[Sequence[int]], start: int) -> None:
        self.model = model
        self.source, padding = _pad_left(sources, model.embedding.weight.device)  # [B, S] both
        self.real = ~padding
        self.written = torch.full((len(sources), 1), start, device=self.source.device)

    def start(self) -> Tensor:
        """Encode the sources."""
        self.encoded = self.model.encode(self.source, self.real)[0]
        return self._logits()

    def read(self, tokens: Tensor) -> Tensor:
        """Decode with one more token in every row."""
        self.written = torch.cat([self.written, tokens[:, None]], dim=1)
        return self._logits()

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these."""
        self.encoded, self.real, self.written = self.encoded[rows], self.real[rows], self.written[rows]

    def _logits(self) -> Tensor:
        states = self.model.decode(self.written, self.encoded, self.real)[0]
        logits: Tensor = states[:, -1] @ self.model.head_weight.T
        return logits


def _pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens int64 [B, S], and the padding, bool [B, S]."""
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    padding = torch.ones(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        padding[row, longest - len(prompt) :] = False
    return tokens.to(device), padding.to(device)


class Drawn(NamedTuple):
    """One token for each row."""

    tokens: Tensor  # int64 [B]
    log_probs: Tensor  # fp32 [B]: at the temperature, of all tokens; at temperature 0 as at 1


def sample(logits: Tensor, settings: GenerateSettings, draws: Tensor) -> Drawn:
    """One token for each row: the one in whose share of the probability the draw falls.

    logits [B, V]; draws [B], uniform in [0, 1).
    """
    if settings.temperature == 0:
        tokens = logits.argmax(dim=-1)
        return Drawn(tokens, logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0])
    logits = logits / settings.temperature
    whole = logits.logsumexp(dim=-1)
    allowed = logits
    if settings.top_k is not None and settings.top_k < logits.shape[1]:
        least = logits.topk(settings.top_k, dim=-1).values[:, -1:]  # [B, 1]
        allowed = allowed.masked_fill(logits < least, -torch.inf)
    if settings.top_p is not None and settings.top_p < 1:
        allowed = _nucleus(allowed, settings.top_p)
    mass = allowed.double().softmax(dim=-1).cumsum(dim=-1)  # fp64: fp32 sums lose the tail of a large vocabulary
    tokens = torch.searchsorted(mass, draws[:, None] * mass[:, -1:], right=True)[:, 0]
    return Drawn(tokens, logits.gather(1, tokens[:, None])[:, 0] - whole)


def _nucleus(logits: Tensor, mass: float) -> Tensor:
    """Keep the smallest set of tokens that holds `mass` of the probability; the most likely one always stays."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    outside = probabilities.cumsum(dim=-1) - probabilities >= mass  # the mass before a token
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), -torch.inf)
