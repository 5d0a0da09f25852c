"""The chat template: what is learned, that no text opens a turn, and that transformers writes the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from tests.trainer.curated import pages
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Conversation, Message, Preference
from trainer.data.tokenizer import SEPARATOR, Tokenizer, TokenizerSettings, train_tokenizer
from trainer.errors import UserError

TEXTS = [values["text"] for values in pages(50)]


@pytest.fixture(scope="module")
def template() -> ChatTemplate:
    return ChatTemplate(train_tokenizer(TEXTS, TokenizerSettings(vocab_size=768)))


@pytest.fixture(scope="module")
def peer(template, tmp_path_factory) -> PreTrainedTokenizerFast:
    path: Path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    template.tokenizer.save(path)
    return PreTrainedTokenizerFast(
        tokenizer_file=str(path), bos_token=SEPARATOR, chat_template=template.jinja, clean_up_tokenization_spaces=False
    )


def test_answers_and_their_ends_are_learned(template):
    messages = (
        Message("system", "Be kind."),
        Message("user", "Hello?"),
        Message("assistant", "Hi."),
        Message("user", "And?"),
        Message("assistant", "No more.", train=True),
    )
    encoded = template.encode(Conversation(messages))
    text = template.tokenizer.decode(encoded.tokens)
    assert text == (
        "<|endoftext|><|system|>Be kind.<|end|><|user|>Hello?<|end|><|assistant|>Hi.<|end|>"
        "<|user|>And?<|end|><|assistant|>No more.<|end|>"
    )
    assert template.tokenizer.decode(encoded.tokens[encoded.learned]) == "No more.<|end|>"
    prompt = template.encode_prompt(messages[:4])
    assert template.tokenizer.decode(prompt) == text.removesuffix("No more.<|end|>")
    assert prompt == encoded.tokens[: len(prompt)].tolist()


def test_both_answers_of_a_pair_follow_the_same_prompt(template):
    pair = template.encode_pair(Preference((Message("user", "Which?"),), "This one.", "That.", margin=0.5))
    for side, answer in ((pair.chosen, "This one."), (pair.rejected, "That.")):
        assert template.tokenizer.decode(side.tokens[side.learned]) == f"{answer}<|end|>"
    prompt = template.encode_prompt([Message("user", "Which?")])
    assert pair.chosen.tokens[: len(prompt)].tolist() == pair.rejected.tokens[: len(prompt)].tolist() == prompt
    assert pair.margin == 0.5


PIECES = st.sampled_from(
    ["<|end|>", "<|user|>", "<|endoftext|>", "<|sentinel_7|>", "<|reserved_3|>", "<|", "|>", "< |end|>", "<<|end|>|>"]
)
HOSTILE = st.lists(st.one_of(PIECES, st.text(max_size=8)), min_size=1, max_size=6).map("".join).filter(str.strip)


@given(HOSTILE, HOSTILE)
def test_no_text_becomes_a_control_token_here_or_in_transformers(template, peer, question, answer):
    question, answer = (text.encode("utf-8", "ignore").decode() for text in (question, answer))
    answers = Message("assistant", answer, train=True)
    messages = (Message("system", answer), Message("user", question), answers, Message("tool", question), answers)
    encoded = template.encode(Conversation(messages))
    control = [index for index in encoded.tokens.tolist() if index in template.tokenizer.control.values()]
    turns = [name for message in messages for name in (f"<|{message.role}|>", "<|end|>")]
    assert control == [template.tokenizer.control[name] for name in ("<|endoftext|>", *turns)]
    plain = [{"role": message.role, "content": message.content} for message in messages]
    written = peer.apply_chat_template(plain, return_dict=True, return_assistant_tokens_mask=True)
    assert written["input_ids"] == encoded.tokens.tolist()
    assert [bool(flag) for flag in written["assistant_masks"]] == encoded.learned.tolist()
    for count in (2, 4):  # after the user's message, and after the tool's
        prompt = peer.apply_chat_template(plain[:count], add_generation_prompt=True, return_dict=True)
        assert prompt["input_ids"] == template.encode_prompt(messages[:count])


def test_only_letters_that_spell_a_token_are_changed(template):
    assert template.clean("f <| x |> g, a<|b|>, < |") == "f <| x |> g, a<|b|>, < |"
    assert template.clean("<|end|> <|sentinel_12|> <|reserved_0|>") == "< |end|> < |sentinel_12|> < |reserved_0|>"


def test_an_answer_ends_at_the_end_of_its_turn(template):
    tokens = [*template.tokenizer.encode("Yes."), template.end, *template.tokenizer.encode("more")]
    assert template.decode_answer(tokens) == "Yes."
    assert template.decode_answer(tokens[:1]) == template.tokenizer.decode(tokens[:1])


def test_a_tokenizer_without_turns_is_refused(template):
    state = json.loads(template.tokenizer.json)
    for token in state["added_tokens"]:
        if token["content"] == "<|user|>":
            token["content"] = "<|other|>"
    engine = type(template.tokenizer.engine).from_str(json.dumps(state))
    with pytest.raises(UserError, match=r"no <\|user\|> token"):
        ChatTemplate(Tokenizer(engine))
