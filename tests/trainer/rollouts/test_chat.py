"""What of a conversation is read when it exceeds the context."""

from __future__ import annotations

import pytest

from tests.trainer.curated import pages
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.rollouts.chat import fit_messages, prompt_room
from trainer.rollouts.generate import GenerateSettings

SYSTEM, LAST = Message("system", "Be kind."), Message("user", "last?")
FIRST = [Message("user", "first?"), Message("assistant", "one")]
SECOND = [Message("user", "second?"), Message("tool", "found"), Message("assistant", "two")]


@pytest.fixture(scope="module")
def template() -> ChatTemplate:
    return ChatTemplate(train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768)))


@pytest.mark.parametrize("before", [[SYSTEM], []])
def test_the_oldest_exchanges_are_left_out_as_wholes(template, before):
    settings = GenerateSettings(max_new_tokens=5)
    messages = [*before, *FIRST, *SECOND, LAST]
    whole, shorter, least = (
        template.encode_prompt([*before, *kept]) for kept in ([*FIRST, *SECOND, LAST], [*SECOND, LAST], [LAST])
    )
    for context, expected in (
        (len(whole) + 5, whole),
        (len(whole) + 4, shorter),
        (len(shorter) + 5, shorter),
        (len(shorter) + 4, least),  # not the tool's message without its question
        (10, least),  # the last message stays, whatever its length
    ):
        assert fit_messages(template, messages, context, settings) == expected


def test_an_answer_takes_at_most_half_of_the_context():
    assert prompt_room(100, GenerateSettings(max_new_tokens=8)) == 92
    assert prompt_room(100, GenerateSettings(max_new_tokens=400)) == 50
