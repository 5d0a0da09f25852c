"""A conversation as token ids: control tokens mark its turns, and the text between them cannot contain any.

    <|endoftext|><|system|>text<|end|><|user|>text<|end|><|assistant|>answer<|end|>

Learned are the answers and the <|end|> behind each: a model learns to answer and to stop, not to ask. The texts are
encoded as text, so letters that spell a control token stay letters. Readers of tokenizer.json would take them for the
token; so both this code and the exported Jinja form put a space into such letters: `<|end|>` becomes `< |end|>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainer.chat.conversation import ROLES, Conversation, Message, Preference, RatedAnswer
from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError

END = "<|end|>"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as tokens, and which of them the loss counts as targets."""

    tokens: NDArray[np.int32]  # [n]
    learned: NDArray[np.bool_]  # [n]; never the first one, which nothing precedes


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Both answers to one prompt."""

    chosen: Encoded
    rejected: Encoded
    margin: float
    tie: bool


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """A prompt with one answer, which is learned, and its rating."""

    text: Encoded
    desirable: bool


class ChatTemplate:
    """Writes conversations with the control tokens of a tokenizer. Raises UserError if it lacks them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        missing = [name for name in (*map(_turn, ROLES), END) if name not in tokenizer.control]
        if missing:
            raise UserError(
                f"the tokenizer has no {missing[0]} token, which marks a turn of a conversation; train one with "
                "`gristmill train tokenizer`, or give reserved tokens these names"
            )
        self.tokenizer = tokenizer
        self.end = tokenizer.control[END]

    @cached_property
    def _names(self) -> dict[str, str]:
        """What begins a control token -> what is written instead; numbered tokens share one beginning."""
        starts = {re.sub(r"\d+\|>$", "", name) for name in self.tokenizer.control}
        return {start: start.replace("<|", "< |") for start in sorted(starts) if start.startswith("<|")}

    def clean(self, text: str) -> str:
        """The text without letters that spell a control token.

        Replaced in the order of the Jinja form, one name after the other, so that both write the same.
        """
        for start, written in self._names.items():
            text = text.replace(start, written)
        return text

    def encode(self, conversation: Conversation) -> Encoded:
        """All messages; learned are those with `train`."""
        return self._join([(message, message.train) for message in conversation.messages])

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """The messages, and the beginning of the assistant's answer."""
        tokens = self._join([(message, False) for message in messages]).tokens
        return [*tokens.tolist(), self.tokenizer.control[_turn("assistant")]]

    def encode_pair(self, pair: Preference) -> EncodedPair:
        """The prompt with each answer; learned are the answers."""
        chosen, rejected = (self._with_answer(pair.prompt, text) for text in (pair.chosen, pair.rejected))
        return EncodedPair(chosen, rejected, pair.margin, pair.tie)

    def encode_rated(self, rated: RatedAnswer) -> EncodedAnswer:
        """The prompt with its answer; learned is the answer."""
        return EncodedAnswer(self._with_answer(rated.prompt, rated.answer), rated.desirable)

    def _with_answer(self, prompt: Sequence[Message], answer: str) -> Encoded:
        given = [(message, False) for message in prompt]
        return self._join([*given, (Message("assistant", answer), True)])

    def decode_answer(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, up to the end of the turn."""
        ids = list(tokens)
        return self.tokenizer.decode(ids[: ids.index(self.end)] if self.end in ids else ids)

    def _join(self, messages: Sequence[tuple[Message, bool]]) -> Encoded:
        texts = self.tokenizer.encode_many([self.clean(message.content) for message, _ in messages])
        tokens, learned = [self.tokenizer.separator], [False]
        for (message, train), text in zip(messages, texts, strict=True):
            tokens += [self.tokenizer.control[_turn(message.role)], *text, self.end]
            learned += [False, *([train] * (len(text) + 1))]
        return Encoded(np.array(tokens, np.int32), np.array(learned, np.bool_))

    @property
    def jinja(self) -> str:
        """The same template for `transformers`; `{% generation %}` marks what is learned."""
        content = "message['content']" + "".join(f" | replace({a!r}, {b!r})" for a, b in self._names.items())
        return (
            "{{- bos_token -}}\n"
            "{%- for message in messages -%}\n"
            "{%- set text = " + content + " -%}\n"
            "{%- if message['role'] == 'assistant' -%}\n"
            "{{- '<|assistant|>' -}}{%- generation -%}{{- text + '<|end|>' -}}{%- endgeneration -%}\n"
            "{%- elif message['role'] in ['system', 'user', 'tool'] -%}\n"
            "{{- '<|' + message['role'] + '|>' + text + '<|end|>' -}}\n"
            "{%- else -%}\n"
            "{{- raise_exception('unknown role: ' + message['role']) -}}\n"
            "{%- endif -%}\n"
            "{%- endfor -%}\n"
            "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
        )


def _turn(role: str) -> str:
    return f"<|{role}|>"
