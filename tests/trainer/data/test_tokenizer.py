from __future__ import annotations

import json
from pathlib import Path

import pytest
import regex
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine
from transformers import PreTrainedTokenizerFast

from pipeline.pii import spans
from tests.trainer.curated import pages
from trainer.data.tokenizer import (
    CHAT,
    PAD,
    PLACEHOLDERS,
    SEPARATOR,
    Tokenizer,
    TokenizerError,
    TokenizerSettings,
    compare_tokenizers,
    load_tokenizer,
    name_reserved,
    split_pattern,
    train_tokenizer,
)

CODE = "def area(width, height):\n    if width:\n        return width * height\n    return 0\n\n\n"
TEXTS = [row["text"] + "\n\n" + CODE + "Tel 555 1234, 1999 and 20000. Grüße, мир, 世界, हिन्दी!" for row in pages(60)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, TokenizerSettings(vocab_size=1024))


HOSTILE = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=" \t\n\r\u00a0\u3000", max_size=60),
    st.lists(
        st.sampled_from([*PLACEHOLDERS, *CHAT, SEPARATOR, " ", "def", "return ", "the", "12345"]), max_size=20
    ).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(text=HOSTILE)
@example("<|endoftext|>")
@example("\x00\ufeff\u2028 e\u0301")
def test_decoding_gives_the_text_back_and_both_engines_agree(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids == tokenizer.engine.encode(text, add_special_tokens=False).ids


def test_tiktoken_does_the_encoding_where_ids_are_equal(tokenizer: Tokenizer) -> None:
    assert tokenizer.fast
    fast = tokenizer.encode_many(TEXTS, threads=2)
    assert fast == [encoding.ids for encoding in tokenizer.engine.encode_batch(TEXTS, add_special_tokens=False)]
    assert [tokenizer.encode(text) for text in TEXTS] == fast


def test_tiktoken_is_not_used_where_ids_differ(tokenizer: Tokenizer) -> None:
    """A vocabulary edited by hand: its merges and ranks disagree."""
    state = json.loads(tokenizer.json)
    state["model"]["merges"].reverse()
    edited = Tokenizer(Engine.from_str(json.dumps(state)))
    assert not edited.fast
    assert edited.encode_many(TEXTS[:3]) == [edited.encode(text) for text in TEXTS[:3]]
    assert edited.decode(edited.encode(TEXTS[0])) == TEXTS[0]


def test_text_that_exhausts_the_fast_engine_is_encoded_by_the_other(tokenizer: Tokenizer) -> None:
    text = "x" + " " * 1_000_000
    encoding = tiktoken.Encoding(
        "test", pat_str=split_pattern("single"), mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
    )
    with pytest.raises(ValueError, match="stack"):
        encoding.encode(text, disallowed_special=())
    ids = tokenizer.encode_many(["before", text, "after"])
    assert [tokenizer.decode(part) for part in ids] == ["before", text, "after"]


def test_placeholders_are_those_that_the_pipeline_writes() -> None:
    assert spans.PLACEHOLDERS == PLACEHOLDERS


def test_placeholders_are_tokens_in_text_and_control_tokens_are_not(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<EMAIL>") == [tokenizer.placeholders["<EMAIL>"]]
    for token in (SEPARATOR, *CHAT, "<|sentinel_0|>", "<|reserved_0|>"):
        ids = tokenizer.encode(f"a{token}b")
        assert tokenizer.decode(ids) == f"a{token}b"
        assert not set(ids) & set(tokenizer.control.values())
    assert tokenizer.decode([tokenizer.separator]) == SEPARATOR


def test_control_tokens_are_recognized_in_prompts(tokenizer: Tokenizer) -> None:
    typed = f"the <|sentinel_1|>{CHAT[0]} river <|sentinel_1000|><EMAIL>"
    ids = tokenizer.encode_prompt(typed)
    assert tokenizer.decode(ids) == typed
    known = [tokenizer.control["<|sentinel_1|>"], tokenizer.control[CHAT[0]]]
    assert [index for index in ids if index in tokenizer.control.values()] == known
    assert tokenizer.encode_prompt("a b") == tokenizer.encode("a b")


def pieces(text: str, digits: str = "single") -> list[str]:
    """The split by another regular expression engine."""
    return [match.group() for match in regex.finditer(split_pattern(digits), text)]  # type: ignore[arg-type]


def test_pieces_keep_indentation_words_and_digits() -> None:
    assert pieces("    return x") == ["   ", " return", " x"]
    assert pieces("in 2026.") == ["in", " ", "2", "0", "2", "6", "."]
    assert pieces("1234567", "triples") == ["123", "456", "7"]
    assert pieces("it's WE'LL") == ["it", "'s", " WE", "'LL"]
    assert pieces("हिन्दी भाषा") == ["हिन्दी", " भाषा"]
    assert pieces("end;\n\n\n  next") == ["end", ";\n\n\n", " ", " next"]


@given(st.text(max_size=300))
def test_pieces_are_the_whole_text(text: str) -> None:
    for digits in ("single", "triples"):
        assert "".join(pieces(text, digits)) == text


def test_digits_never_join_when_split_singly(tokenizer: Tokenizer) -> None:
    special = {*tokenizer.control, *tokenizer.placeholders}
    tokens = {tokenizer.decode([index]) for index in range(tokenizer.vocab_size)} - special
    assert not [token for token in tokens if sum(map(str.isdigit, token)) > 1]
    triples = train_tokenizer(
        ["1234 1234 1999 1999 20000"] * 9,
        TokenizerSettings(vocab_size=448, digits="triples", placeholders=(), sentinels=0),
    )
    assert len(triples.encode("1234")) == 2


def test_indentation_is_one_token(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("        return")) < 4


def test_the_file_is_read_by_transformers(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    peer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in TEXTS[:10]:
        assert peer.encode(text, add_special_tokens=False) == tokenizer.encode(text)
    again = load_tokenizer(tmp_path)
    assert (again.sha256, again.separator, again.vocab_size) == (
        tokenizer.sha256,
        tokenizer.separator,
        tokenizer.vocab_size,
    )


def test_the_vocabulary_is_a_multiple_and_training_is_reproducible(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size % 64 == 0
    assert train_tokenizer(TEXTS, TokenizerSettings(vocab_size=1024)).sha256 == tokenizer.sha256


def test_impossible_training_is_refused() -> None:
    with pytest.raises(TokenizerError, match="no repeated pair"):
        train_tokenizer(["ab"], TokenizerSettings(vocab_size=1024))
    with pytest.raises(TokenizerError, match="leave no merge"):
        train_tokenizer(TEXTS, TokenizerSettings(vocab_size=500))


def test_invalid_tokenizer_files_are_refused_in_one_line(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="no such tokenizer"):
        load_tokenizer(tmp_path / "nothing")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"not a tokenizer.json"):
        load_tokenizer(tmp_path)
    state = json.loads(tokenizer.json.replace(SEPARATOR, "<|other|>"))
    (tmp_path / "tokenizer.json").write_text(json.dumps({**state, "post_processor": None}))
    with pytest.raises(TokenizerError, match=r"no token that begins a text, neither <\|endoftext\|> nor"):
        load_tokenizer(tmp_path)


def test_the_separator_is_the_token_that_the_post_processor_puts_first(tmp_path: Path, tokenizer: Tokenizer) -> None:
    state = json.loads(tokenizer.json)
    (tmp_path / "tokenizer.json").write_text(json.dumps({**state, "post_processor": None}))
    assert load_tokenizer(tmp_path).json == tokenizer.json  # one without gets it
    (tmp_path / "tokenizer.json").write_text(tokenizer.json.replace(SEPARATOR, "<s>"))
    assert load_tokenizer(tmp_path).separator == tokenizer.separator
    assert tokenizer.engine.encode("a b", add_special_tokens=True).ids == [
        tokenizer.separator,
        *tokenizer.encode("a b"),
    ]


def test_reserved_tokens_are_named_without_changing_ids_or_sizes(tokenizer: Tokenizer) -> None:
    assert tokenizer.pad not in (None, tokenizer.separator)
    assert set(CHAT) | {PAD, SEPARATOR} <= set(tokenizer.control)
    reserved = [name for name in tokenizer.control if name.startswith("<|reserved_")]
    assert len(reserved) >= TokenizerSettings().reserved
    named = name_reserved(tokenizer, ["<|image|>", "<|audio-1|>"])
    assert named.vocab_size == tokenizer.vocab_size
    assert named.control["<|image|>"] == tokenizer.control["<|reserved_0|>"]
    assert named.encode_many(TEXTS) == tokenizer.encode_many(TEXTS)
    assert named.control["<|image|>"] not in named.encode("a<|image|>b")  # as text it stays text
    assert named.fast
    assert compare_tokenizers(tokenizer.json, named) is None  # weights of the first fit the second
    assert compare_tokenizers(named.json, tokenizer) is not None  # whose tokens have a meaning already
    other = train_tokenizer(TEXTS[::2], TokenizerSettings(vocab_size=1024))
    assert other.vocab_size == tokenizer.vocab_size
    assert compare_tokenizers(other.json, tokenizer) is not None


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["image"], "not a name of a control token"),
        (["<|a b|>"], "not a name of a control token"),
        (["<|reserved_9|>"], "not a name of a control token"),
        (["<|user|>"], "has this token already"),
        (["<|x|>", "<|x|>"], "has this token already"),
        ([f"<|x{n}|>" for n in range(999)], "999 names and"),
    ],
)
def test_names_that_cannot_be_given_are_refused(tokenizer: Tokenizer, names: list[str], fault: str) -> None:
    with pytest.raises(TokenizerError, match=fault):
        name_reserved(tokenizer, names)
