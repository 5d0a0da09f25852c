"""A conversation with a model: it answers as it was trained to, token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings, sample_answers

BROKEN = "\ufffd"  # what half of a character decodes to


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
        stream = TextStream(self.template, on_text)
        prompt = self._fit_prompt()
        ((sample,),) = sample_answers(
            self.model, [prompt], self.settings, [self.template.end], on_token=lambda _, token: stream.add(token)
        )
        answer = self.template.decode_answer(sample.tokens)
        stream.end(answer)
        self.messages.append(Message("assistant", answer))
        return answer

    def _fit_prompt(self) -> list[int]:
        room = self.model.settings.context_length
        room -= min(self.settings.max_new_tokens, room // 2)
        fixed = [message for message in self.messages if message.role == "system"]
        others = [message for message in self.messages if message.role != "system"]
        while len(others) > 2 and len(self.template.encode_prompt([*fixed, *others])) > room:
            others = others[2:]
        return self.template.encode_prompt([*fixed, *others])


class TextStream:
    """Turns tokens into pieces of text; a character of several tokens appears when it is whole."""

    def __init__(self, template: ChatTemplate, on_text: Callable[[str], None]) -> None:
        self.template, self.on_text = template, on_text
        self.tokens: list[int] = []
        self.shown = ""

    def add(self, token: int) -> None:
        """One more token."""
        self.tokens.append(token)
        text = self.template.decode_answer(self.tokens)
        if not text.endswith(BROKEN):
            self.end(text)

    def end(self, text: str) -> None:
        """Show what is not shown yet of a text."""
        if text != self.shown:
            self.on_text(text[len(self.shown) :])
            self.shown = text
