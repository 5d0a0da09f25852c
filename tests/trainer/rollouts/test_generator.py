"""A reply of a run does not depend on the requests beside it; what does not fit is a counted reply."""

from __future__ import annotations

import pytest

from tests.trainer.curated import pages
from tests.trainer.runs import build_decoder
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.model.model_settings import ModelSettings
from trainer.rollouts.generator import BadReply, ChatRequest, LocalGenerator, Reply


@pytest.fixture(scope="module")
def generator() -> LocalGenerator:
    tokenizer = train_tokenizer([row["text"] for row in pages(40)], TokenizerSettings(vocab_size=768))
    shape = ModelSettings(vocab_size=tokenizer.vocab_size, hidden_size=32, layers=1, heads=2, kv_heads=1)
    model = build_decoder(shape.model_copy(update={"context_length": 64, "init_std": 0.3}), seed=3)
    return LocalGenerator("random", model, ChatTemplate(tokenizer), batch_size=3)


def test_a_reply_is_a_function_of_its_request(generator: LocalGenerator) -> None:
    texts = ["", "hello ", "a longer question than the others ", "x " * 20, "y " * 80]
    requests = [
        ChatRequest((Message("user", f"{text}{n}"),), max_tokens=12, temperature=1.0, seed=n)
        for n, text in enumerate(texts * 2)
    ]
    together = generator.replies(requests)
    assert together == [generator.replies([request])[0] for request in requests]
    assert [isinstance(reply, BadReply) for reply in together] == [False] * 4 + [True] + [False] * 4 + [True]
    assert all(reply.answer_tokens <= 12 for reply in together if isinstance(reply, Reply))
    assert len({reply.text for reply in together if isinstance(reply, Reply)}) > 5
