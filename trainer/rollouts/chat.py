"""A conversation with a model: it answers as it was trained to, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings, stream_answers
from trainer.rollouts.text_stream import TextStream


@dataclass
class Chat:
    """The messages so far."""

    model: Decoder
    template: ChatTemplate
    settings: GenerateSettings
    messages: list[Message] = field(default_factory=list)

    def answer(self, text: str, on_text: Callable[[str], None] = lambda _: None) -> str:
        """The model's answer to a message of the user; `on_text` gets each piece of it as soon as it is there.

        Where the conversation does not fit into the context with the answer, its oldest exchanges are left out.
        """
        self.messages.append(Message("user", text))
        prompt = fit_messages(self.template, self.messages, self.model.settings.context_length, self.settings)
        stream, tokens = TextStream(self.template.decode_answer), []
        for _, sample in stream_answers(self.model, [prompt], self.settings, [self.template.end]):
            tokens = sample.tokens
            if piece := stream.update(tokens):
                on_text(piece)
        if piece := stream.update(tokens, last=True):
            on_text(piece)
        self.messages.append(Message("assistant", stream.text))
        return stream.text


def fit_messages(
    template: ChatTemplate, messages: Sequence[Message], context: int, settings: GenerateSettings
) -> list[int]:
    """The prompt's tokens, without the oldest exchanges where they and the answer exceed the context.

    An exchange is a message of the user with all that answers it, messages of tools included.
    """
    room = prompt_room(context, settings)
    fixed = [message for message in messages if message.role == "system"]
    others = [message for message in messages if message.role != "system"]
    later = [place for place, message in enumerate(others) if place and message.role == "user"]
    tokens = template.encode_prompt([*fixed, *others])
    for begin in later:
        if len(tokens) <= room:
            break
        tokens = template.encode_prompt([*fixed, *others[begin:]])
    return tokens


def prompt_room(context: int, settings: GenerateSettings) -> int:
    """Most tokens of a prompt: what the context has beside the answer, or half of it."""
    return context - min(settings.max_new_tokens, context // 2)
