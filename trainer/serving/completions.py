"""Answers in OpenAI's shape: one object, or server-sent events that end with [DONE].

Log-probabilities are at temperature 1 and of all tokens, and the stop token has one: lm-evaluation-harness reads the
likelihood of a prompt from `echo` and `logprobs`, and leaves out the last token, which was generated.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Generator, Sequence
from typing import Any

from trainer.retrieval.chunk_database import Passage
from trainer.rollouts.generate import GenerateSettings
from trainer.serving.passages import PassageReader, describe_source
from trainer.serving.requests import ChatBody, CompletionBody, PromptTokens, chat_prompt, check_room, completion_prompts
from trainer.serving.served_model import ServedModel, TokenScores

_DEFAULT_TOKENS = 16  # of a completion, as at OpenAI


def chat_events(served: ServedModel, body: ChatBody, limit: int, reader: PassageReader | None = None) -> Generator[str]:
    """The events of a streamed chat completion; the first one has the sources of the passages that were read."""
    prompt, settings, passages = chat_prompt(served, body, limit, reader)
    base = _head("chat.completion.chunk", "chatcmpl", served)
    counts: dict[int, int] = {}
    for sample in range(body.n):
        sources = _sources(passages) if sample == 0 else {}
        yield _event({**base, "choices": [_delta(sample, {"role": "assistant", "content": ""})], **sources})
    for piece in served.pieces(prompt, settings, body.n, body.stops, chat=True):
        counts[piece.sample] = len(piece.tokens)
        if piece.text:
            yield _event({**base, "choices": [_delta(piece.sample, {"content": piece.text})]})
        if piece.finish:
            yield _event({**base, "choices": [_delta(piece.sample, {}, piece.finish)]})
    if body.stream_options and body.stream_options.include_usage:
        yield _event({**base, "choices": [], "usage": _usage(len(prompt), sum(counts.values()))})
    yield "data: [DONE]\n\n"


def chat_answer(served: ServedModel, body: ChatBody, limit: int, reader: PassageReader | None = None) -> dict[str, Any]:
    """A whole chat completion."""
    prompt, settings, passages = chat_prompt(served, body, limit, reader)
    samples = _draw(served, prompt, settings, body.n, body.stops, chat=True)
    choices = []
    for number, (text, tokens, finish) in enumerate(samples):
        message = {"role": "assistant", "content": text}
        logs = None
        if body.logprobs:
            scores = _tail(served.score([*prompt, *tokens], body.top_logprobs), len(tokens))
            logs = {"content": _chat_logprobs(served, tokens, scores)}
        choices.append({"index": number, "message": message, "logprobs": logs, "finish_reason": finish})
    usage = _usage(len(prompt), sum(len(tokens) for _, tokens, _ in samples))
    return {**_head("chat.completion", "chatcmpl", served), "choices": choices, "usage": usage, **_sources(passages)}


def completion_events(served: ServedModel, body: CompletionBody, limit: int) -> Generator[str]:
    """The events of a streamed completion."""
    base = _head("text_completion", "cmpl", served)
    prompts, total = completion_prompts(served, body), 0
    wanted = [_completion_settings(served, body, prompt, limit) for prompt in prompts]
    for number, (prompt, settings) in enumerate(zip(prompts, wanted, strict=True)):
        counts: dict[int, int] = {}
        for piece in served.pieces(prompt.tokens, settings, body.n, body.stops, chat=False):
            counts[piece.sample] = len(piece.tokens)
            if piece.text or piece.finish:
                choice = {"index": number * body.n + piece.sample, "text": piece.text, "logprobs": None}
                yield _event({**base, "choices": [{**choice, "finish_reason": piece.finish}]})
        total += sum(counts.values())
    if body.stream_options and body.stream_options.include_usage:
        yield _event({**base, "choices": [], "usage": _usage(_length(prompts), total)})
    yield "data: [DONE]\n\n"


def completion_answer(served: ServedModel, body: CompletionBody, limit: int) -> dict[str, Any]:
    """A whole completion."""
    choices: list[dict[str, Any]] = []
    prompts, total = completion_prompts(served, body), 0
    wanted = [_completion_settings(served, body, prompt, limit) for prompt in prompts]
    for prompt, settings in zip(prompts, wanted, strict=True):
        samples: list[tuple[str, Sequence[int], str]] = [("", [], "length")] * body.n
        if body.max_tokens != 0:
            samples = _draw(served, prompt.tokens, settings, body.n, body.stops, chat=False)
        for text, tokens, finish in samples:
            total += len(tokens)
            before = served.tokenizer.decode(prompt.tokens[prompt.shown :]) if body.echo else ""
            logs = None if body.logprobs is None else _completion_logprobs(served, body, prompt, tokens)
            choice = {"index": len(choices), "text": before + text, "logprobs": logs, "finish_reason": finish}
            choices.append(choice)
    usage = _usage(_length(prompts), total)
    return {**_head("text_completion", "cmpl", served), "choices": choices, "usage": usage}


def model_list(models: Sequence[ServedModel]) -> dict[str, Any]:
    """What /v1/models answers."""
    return {"object": "list", "data": [model_row(model) for model in models]}


def model_row(served: ServedModel) -> dict[str, Any]:
    """What /v1/models/NAME answers."""
    return {"id": served.name, "object": "model", "created": 0, "owned_by": "gristmill"}


def _completion_settings(
    served: ServedModel, body: CompletionBody, prompt: PromptTokens, limit: int
) -> GenerateSettings:
    wanted = _DEFAULT_TOKENS if body.max_tokens is None else min(body.max_tokens, limit)
    room = check_room(served, len(prompt.tokens), "prompt", needed=min(wanted, 1))
    return body.sampling(min(wanted, room))


def _draw(
    served: ServedModel,
    prompt: Sequence[int],
    settings: GenerateSettings,
    samples: int,
    stops: Sequence[str],
    *,
    chat: bool,
) -> list[tuple[str, Sequence[int], str]]:
    """Text, tokens and reason of the end of each sample."""
    texts, last = [""] * samples, {}
    for piece in served.pieces(prompt, settings, samples, stops, chat=chat):
        texts[piece.sample] += piece.text
        last[piece.sample] = piece
    return [(texts[number], last[number].tokens, last[number].finish or "length") for number in range(samples)]


def _tail(scores: TokenScores, count: int) -> TokenScores:
    """The scores of the last tokens."""
    begin = len(scores.log_probs) - count
    return TokenScores(scores.log_probs[begin:], scores.top[begin:])


def _chat_logprobs(served: ServedModel, tokens: Sequence[int], scores: TokenScores) -> list[dict[str, Any]]:
    return [
        {
            **_named(served, token, value),
            "top_logprobs": [_named(served, other, likely) for other, likely in top],
        }
        for token, value, top in zip(tokens, scores.log_probs, scores.top, strict=True)
    ]


def _named(served: ServedModel, token: int, value: float) -> dict[str, Any]:
    name = _token_text(served, token)
    return {"token": name, "logprob": value, "bytes": list(name.encode())}


def _completion_logprobs(
    served: ServedModel, body: CompletionBody, prompt: PromptTokens, tokens: Sequence[int]
) -> dict[str, Any]:
    """Of the generated tokens, with `echo` of the prompt's as well; the first token of all has none."""
    whole = [*prompt.tokens, *tokens]
    scores = served.score(whole, body.logprobs or 0)
    begin = prompt.shown if body.echo else len(prompt.tokens)
    values: list[float | None] = [None, *scores.log_probs]
    tops: list[dict[str, float] | None] = [None]
    for token, value, top in zip(whole[1:], scores.log_probs, scores.top, strict=True):
        names: dict[str, float] = {}
        for other, likely in [*top, (token, value)]:
            names.setdefault(_token_text(served, other), likely)
        tops.append(names)
    texts = [_token_text(served, token) for token in whole[begin:]]
    offsets, length = [], 0
    for text in texts:
        offsets.append(length)
        length += len(text)
    shown = {"tokens": texts, "token_logprobs": values[begin:], "top_logprobs": tops[begin:]}
    return {**shown, "text_offset": offsets}


def _token_text(served: ServedModel, token: int) -> str:
    """A token's text; its number where it is no text alone, so that two tokens never have one name by chance."""
    text = served.tokenizer.decode([token])
    return f"token_id:{token}" if not text or "\ufffd" in text else text


def _length(prompts: Sequence[PromptTokens]) -> int:
    return sum(len(prompt.tokens) for prompt in prompts)


def _head(kind: str, prefix: str, served: ServedModel) -> dict[str, Any]:
    name = f"{prefix}-{secrets.token_hex(12)}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": served.name}


def _sources(passages: Sequence[Passage] | None) -> dict[str, Any]:
    """A field that OpenAI's answers do not have; none without a database."""
    return {} if passages is None else {"sources": [describe_source(passage) for passage in passages]}


def _delta(index: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _usage(prompt: int, answer: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
