"""Bodies of requests in OpenAI's shape, checked: what is wrong is named in OpenAI's shape too.

Fields that nobody knows are ignored, as others do; a known field that would change the answer and is not supported is
refused, because an answer without it would be wrong and look right.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.chat.conversation import ConversationError, Message, make_message
from trainer.retrieval.chunk_database import Passage
from trainer.rollouts.chat import fit_messages, prompt_room
from trainer.rollouts.generate import GenerateSettings
from trainer.serving.passages import PassageReader
from trainer.serving.served_model import ApiError, ServedModel

MAX_BODY = 8 << 20  # bytes
MAX_SAMPLES = 16
MAX_PROMPTS = 256
TOO_LONG = "context_length_exceeded"  # OpenAI's word for it
_NEUTRAL: dict[str, tuple[Any, ...]] = {  # fields that are not supported -> values that change nothing
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "best_of": (None, 1),
    "suffix": (None, ""),
}

Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class StreamOptions(BaseModel):
    """What a stream of events holds besides."""

    include_usage: bool = False


class SamplingBody(BaseModel):
    """What both kinds of requests have."""

    model_config = ConfigDict(strict=True, extra="ignore")

    model: str
    max_tokens: int | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> Sequence[str]:
        """Stop strings."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def sampling(self, most: int) -> GenerateSettings:
        """At most `most` tokens; a random seed where none is given."""
        return GenerateSettings(
            max_new_tokens=max(most, 1),
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=secrets.randbits(48) if self.seed is None else self.seed,
        )


class TextPart(BaseModel):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message of a conversation."""

    role: str
    content: str | list[TextPart]


class ChatBody(SamplingBody):
    """The body of /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)
    drop_oldest: bool = False  # not OpenAI's: leave out the oldest exchanges where the context is full


class CompletionBody(SamplingBody):
    """The body of /v1/completions."""

    prompt: str | Tokens | Annotated[list[str] | list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS)]
    echo: bool = False
    logprobs: int | None = Field(default=None, ge=0, le=20)


Body = TypeVar("Body", bound=SamplingBody)


class PromptTokens(NamedTuple):
    """A prompt of a completion."""

    tokens: list[int]
    shown: int  # how many of the first tokens are no part of the text: the separator before it


class ChatPrompt(NamedTuple):
    """The prompt of a chat completion."""

    tokens: list[int]
    settings: GenerateSettings
    passages: list[Passage] | None  # that stand before the question; None without a database


def read_body(kind: type[Body], content: bytes) -> Body:
    """The body of a request. Raises ApiError that names the first wrong field."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ApiError("the body is not JSON") from None
    if not isinstance(values, dict):
        raise ApiError("the body is not a JSON object")
    for name, neutral in _NEUTRAL.items():
        if values.get(name) not in neutral:
            raise ApiError(f"{name} is not supported", param=name, code="unsupported_parameter")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = str(first["loc"][0]) if first["loc"] else None
        raise ApiError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", param=param) from None


def choose_model(models: Sequence[ServedModel], name: str) -> ServedModel:
    """The model of this name."""
    for model in models:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in models)
    raise ApiError(f"no model has the name {name!r}; there is {names}", 404, param="model", code="model_not_found")


def chat_prompt(served: ServedModel, body: ChatBody, limit: int, reader: PassageReader | None) -> ChatPrompt:
    """The prompt's tokens, how the answer is sampled, and the passages that a reader puts before the question."""
    wanted = body.max_completion_tokens or body.max_tokens or limit
    settings, messages = body.sampling(min(wanted, limit)), read_chat(body.messages)
    passages = None
    if reader is not None and served.template is not None:
        room = prompt_room(served.context, settings)
        messages, passages = reader.read(served.template, messages, room, drop_oldest=body.drop_oldest)
    return ChatPrompt(*fit_prompt(served, messages, settings, drop_oldest=body.drop_oldest), passages)


def read_chat(given: Sequence[ChatMessage]) -> list[Message]:
    """Messages as they are trained on."""
    messages = []
    for number, message in enumerate(given):
        content = message.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        role = "system" if message.role == "developer" else message.role
        try:
            messages.append(make_message(role, text))
        except ConversationError as error:
            raise ApiError(f"messages.{number}: {error}", param="messages") from None
    return messages


def fit_prompt(
    served: ServedModel, messages: Sequence[Message], settings: GenerateSettings, *, drop_oldest: bool = False
) -> tuple[list[int], GenerateSettings]:
    """The tokens of messages, and the settings with as many new tokens as there is room for."""
    if served.template is None:
        raise ApiError(f"{served.name}: its tokenizer has no tokens for turns of a conversation", param="model")
    if drop_oldest:
        tokens = fit_messages(served.template, messages, served.context, settings)
    else:
        tokens = served.template.encode_prompt(messages)
    room = check_room(served, len(tokens), "messages")
    return tokens, settings.model_copy(update={"max_new_tokens": min(settings.max_new_tokens, room)})


def check_room(served: ServedModel, used: int, param: str, needed: int = 1) -> int:
    """Tokens that the context has room for behind a prompt. Raises ApiError if they are fewer than needed."""
    room = served.context - used
    if room < needed:
        raise ApiError(
            f"the model's context is {served.context} tokens, and the prompt has {used}",
            param=param,
            code=TOO_LONG,
        )
    return room


def completion_prompts(served: ServedModel, body: CompletionBody) -> list[PromptTokens]:
    """The prompts; texts begin as in training, with the separator, and tokens are taken as they are."""
    given = body.prompt
    prompts: list[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
    found = []
    for prompt in prompts:
        if isinstance(prompt, str):
            found.append(PromptTokens([served.tokenizer.separator, *_encode(served, prompt)], 1))
        elif max(prompt) >= served.model.settings.vocab_size:
            raise ApiError(f"token {max(prompt)} is not in the vocabulary", param="prompt")
        else:
            found.append(PromptTokens(prompt, 0))
    return found


def _encode(served: ServedModel, text: str) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ApiError("half a surrogate pair in the prompt", param="prompt") from None
    return served.tokenizer.encode(text)
