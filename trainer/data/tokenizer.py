"""A byte-level BPE tokenizer: trained on texts, stored as tokenizer.json, encoded by tiktoken where its ids are equal.

Any text can be encoded, nothing is normalized, and decoding returns the same text. Two kinds of tokens are outside the
merges. *Placeholders*, which the pipeline puts in place of personal data, are recognized in document text. *Control
tokens* (separator, padding, chat turns, sentinels) are not: a page that contains the letters `<|endoftext|>` gets the
ids of those letters, so no page can end a document or open a chat turn. Reserved control tokens get a name when one is
needed: the vocabulary keeps its size, and a trained model its shapes.

The separator is the token that the file's post-processor puts before a text: `transformers` and every other reader of
tokenizer.json begin a text as training did.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tiktoken
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Engine

from trainer.errors import UserError
from trainer.files import write_atomically
from trainer.settings import Settings

TOKENIZER_FILE = "tokenizer.json"
SEPARATOR = "<|endoftext|>"
PAD = "<|pad|>"  # not the separator: what masks padding in a loss must not mask the end of a document
CHAT = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|think|>", "<|end|>")
RESERVED = re.compile(r"<\|reserved_\d+\|>")
CONTROL_NAME = re.compile(r"<\|[\w.-]+\|>")
# Written by the pipeline's scrub_pii: equal values in a document share a number; values after the 20th have none.
PERSONAL = ("SECRET", "EMAIL", "IBAN", "CARD", "SSN", "IP", "PHONE", "NAME")
PLACEHOLDERS = tuple(f"<{kind}{number}>" for kind in PERSONAL for number in ("", *(f"_{n}" for n in range(1, 21))))


class TokenizerSettings(Settings):
    """What to train. 32,768 tokens is the size class of GPT-2 and Llama 2, and lets ids fit 16 bits."""

    vocab_size: int = Field(
        default=32_768,
        ge=400,
        description="number of token ids, special tokens included; rounded up to a multiple of `multiple`",
    )
    digits: Literal["single", "triples"] = Field(
        default="single", description="split numbers into single digits (Llama 1, 2) or threes (GPT-4, Llama 3)"
    )
    sample_bytes: int = Field(
        default=500_000_000, ge=1, description="bytes of text to train on, drawn by the documents' weights"
    )
    min_count: int = Field(default=2, ge=1, description="occurrences that a pair needs to be merged")
    max_token_bytes: int = Field(
        default=64, ge=2, description="most bytes of a token; limits tokens such as long lines of dashes"
    )
    placeholders: tuple[str, ...] = Field(
        default=PLACEHOLDERS, description="tokens that are recognized in text; the default is what scrub_pii writes"
    )
    sentinels: int = Field(default=100, ge=0, description="number of sentinel tokens for span corruption; T5 has 100")
    reserved: int = Field(
        default=64,
        ge=0,
        description="number of reserved control tokens, which can be named later without changing a model's shapes",
    )
    multiple: int = Field(
        default=64,
        ge=1,
        description="the vocabulary is filled up to a multiple of this by reserved tokens, for fast matmuls",
    )


class TokenizerError(UserError):
    """A tokenizer cannot be trained or loaded: why, and what to do."""


def split_pattern(digits: Literal["single", "triples"]) -> str:
    """A pattern of the pieces that merges stay inside.

    In order: an English contraction; a word with its combining marks and one character before it (mostly a space);
    digits; punctuation with one space before it and line ends after it; line ends with the space before them; all but
    the last space before a word, so that an indentation stays one piece; other spaces.
    """
    number = r"\p{N}" if digits == "single" else r"\p{N}{1,3}"
    return (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+|"
        + number
        + r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def train_tokenizer(texts: Iterable[str], settings: TokenizerSettings, *, progress: bool = False) -> Tokenizer:
    """A tokenizer whose merges are learned from the texts."""
    control = [SEPARATOR, PAD, *CHAT, *(f"<|sentinel_{number}|>" for number in range(settings.sentinels))]
    special = len(control) + len(settings.placeholders) + settings.reserved
    size = -(-settings.vocab_size // settings.multiple) * settings.multiple
    if size - special < 256 + 1:
        raise TokenizerError(
            f"vocab_size = {settings.vocab_size}: 256 bytes and {special} special tokens leave no merge; raise it"
        )
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split_pattern(settings.digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - special,
        min_frequency=settings.min_count,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=settings.max_token_bytes,
        show_progress=progress,
    )
    engine.train_from_iterator(texts, trainer)
    learned = engine.get_vocab_size()
    if learned <= 256:
        raise TokenizerError(
            "the sample holds no repeated pair of characters to merge; the dataset is nearly empty: add text"
        )
    reserved = settings.reserved + -(learned + special) % settings.multiple
    engine.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    engine.add_tokens([AddedToken(token, special=False, normalized=False) for token in settings.placeholders])
    engine.add_special_tokens(
        [AddedToken(f"<|reserved_{n}|>", special=True, normalized=False) for n in range(reserved)]
    )
    return Tokenizer(engine)


class Tokenizer:
    """A loaded tokenizer.json; `fast` is true where tiktoken does the encoding."""

    def __init__(self, engine: Engine, begin: str | None = None) -> None:
        """begin: the token that begins a text, for a tokenizer whose post-processor names none."""
        engine.encode_special_tokens = True  # control tokens in text are text
        engine.no_padding()
        engine.no_truncation()
        self.separator = _find_separator(engine, begin or SEPARATOR)
        self.engine = engine
        self.json = engine.to_str()
        self.sha256 = hashlib.sha256(self.json.encode()).hexdigest()
        added = engine.get_added_tokens_decoder()
        self.control = {token.content: index for index, token in added.items() if token.special}
        self.placeholders = {token.content: index for index, token in added.items() if not token.special}
        self._allowed = frozenset(self.placeholders)
        self._tiktoken = _build_equal_tiktoken(self)
        self.fast = self._tiktoken is not None

    @property
    def pad(self) -> int | None:
        """The id that fills rows after their end; None in a tokenizer without one."""
        return self.control.get(PAD)

    @property
    def vocab_size(self) -> int:
        """Number of ids; all are below it."""
        return self.engine.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without separator; control tokens in it are encoded as plain text."""
        return self.encode_many([text])[0]

    def encode_prompt(self, text: str) -> list[int]:
        """The ids of a user's prompt, in which control tokens are recognized; do not use it on text from the web."""
        pieces = re.split(f"({'|'.join(map(re.escape, self.control))})", text)
        known = [[self.control[piece]] if piece in self.control else self.encode(piece) for piece in pieces]
        return [index for ids in known for index in ids]

    def encode_many(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """The ids of each text, on several threads."""
        if self._tiktoken is not None:
            try:
                return self._tiktoken.encode_batch(
                    list(texts), num_threads=threads, allowed_special=self._allowed, disallowed_special=()
                )
            except ValueError:  # 100,000 spaces exceed the limit of tiktoken's regex engine; `tokenizers` encodes them
                if len(texts) > 1:
                    return [ids for text in texts for ids in self.encode_many([text])]
        return [list(encoding.ids) for encoding in self.engine.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """The text of ids, control tokens included."""
        return str(self.engine.decode([int(index) for index in ids], skip_special_tokens=False))

    def save(self, path: Path) -> None:
        """Writes tokenizer.json, which `tokenizers` and `transformers` read as well."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.json)


def _find_separator(engine: Engine, name: str) -> int:
    """The token that the post-processor puts before a text; if it puts none, it is made to put the named one there."""
    begin = engine.encode("", add_special_tokens=True).ids
    if len(begin) != 1 and (separator := engine.token_to_id(name)) is not None:
        engine.post_processor = processors.TemplateProcessing(
            single=f"{name} $A", pair=f"{name} $A {name} $B", special_tokens=[(name, separator)]
        )
        begin = [separator]
    if len(begin) != 1:
        raise TokenizerError(
            f"the tokenizer has no token that begins a text, neither {SEPARATOR} nor one of its post-processor; train "
            "one with `gristmill train tokenizer`"
        )
    return begin[0]


def name_reserved(tokenizer: Tokenizer, names: Sequence[str]) -> Tokenizer:
    """The tokenizer with its first reserved tokens named; ids and sizes stay."""
    state = json.loads(tokenizer.json)
    free = [token for token in state["added_tokens"] if RESERVED.fullmatch(token["content"])]
    if len(free) < len(names):
        raise TokenizerError(f"{len(names)} names and {len(free)} reserved tokens; train with a larger `reserved`")
    for name in names:
        if not CONTROL_NAME.fullmatch(name) or RESERVED.fullmatch(name):
            raise TokenizerError(f"{name}: not a name of a control token; write it as <|name|>")
        if names.count(name) > 1 or tokenizer.engine.token_to_id(name) is not None:
            raise TokenizerError(f"{name}: the tokenizer has this token already")
    for token, name in zip(free, names, strict=False):
        token["content"] = name
    return Tokenizer(Engine.from_str(json.dumps(state)))


def load_tokenizer(path: Path, begin: str | None = None) -> Tokenizer:
    """Loads a tokenizer.json, or the one in a folder; `begin` as in `Tokenizer`."""
    path = path / TOKENIZER_FILE if path.is_dir() else path
    if not path.is_file():
        raise TokenizerError(f"{path}: no such tokenizer; train one with `gristmill train tokenizer`")
    try:
        engine = Engine.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise TokenizerError(f"{path}: not a tokenizer.json ({error})") from error
    return Tokenizer(engine, begin)


def compare_tokenizers(stored: str, own: Tokenizer) -> str | None:
    """How the tokenizer of a stored text differs from `own`, in a few words; None if weights fit both."""
    if stored == own.json:
        return None
    before, now = json.loads(stored), json.loads(own.json)
    names = {token["id"]: token["content"] for token in now["added_tokens"]}
    for token in before["added_tokens"]:  # a reserved token may have been named since
        if RESERVED.fullmatch(token["content"]):
            token["content"] = names.get(token["id"])
    if before == now:
        return None
    digest = hashlib.sha256(stored.encode()).hexdigest()
    return f"another tokenizer (SHA-256 {digest[:12]}, this run's is {own.sha256[:12]})"


# Covers every rule of the pattern, scripts with marks, broken words, placeholders and control tokens in text.
PROBE = (
    "It's we'LL  I'd\tdon't 1234567 3.14159 ٣٤٥ x2 2x \r\n\r\n  def f(x):\r\n\t    return x ** 2  # ok\n\n\n"
    " हिन्दी में लिखा ไทย 中文字符 日本語テキスト Ελληνικά Русский עִבְרִית ﷽ 👩‍👩‍👧 e\u0301 \u00a0\u2003 \ufeff\x00"
    f" {SEPARATOR}<|user|> {' '.join(PLACEHOLDERS)}{''.join(PLACEHOLDERS)} a----- ====== ... !?!?\n---\n     "
)


def _build_equal_tiktoken(tokenizer: Tokenizer) -> tiktoken.Encoding | None:
    """The same tokenizer in tiktoken, or None where its ids differ: on the probe, or on the text of any token.

    The two algorithms differ: tiktoken joins any neighbors whose union is a token, BPE only pairs that were learned as
    merges. They agree on a vocabulary trained in one run; on one that was edited or merged they may not.
    """
    try:
        encoding = _build_tiktoken(tokenizer)
    except (
        KeyError,
        ValueError,
        TypeError,
        IndexError,
    ):  # another kind of tokenizer: no byte-level BPE after a pattern
        return None
    texts = [PROBE, *(f"a {token} b" for token in tokenizer.control), *_token_texts(tokenizer)]
    allowed = set(tokenizer.placeholders)
    slow = [list(item.ids) for item in tokenizer.engine.encode_batch_fast(texts, add_special_tokens=False)]
    fast = encoding.encode_batch(texts, num_threads=1, allowed_special=allowed, disallowed_special=())
    return encoding if slow == fast else None


def _build_tiktoken(tokenizer: Tokenizer) -> tiktoken.Encoding:
    state = json.loads(tokenizer.json)
    split = state["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    byte_of = _byte_of_character()
    ranks = {bytes(byte_of[c] for c in token): index for token, index in state["model"]["vocab"].items()}
    return tiktoken.Encoding(
        "gristmill",
        pat_str=split,
        mergeable_ranks=ranks,
        special_tokens={**tokenizer.control, **tokenizer.placeholders},
    )


def _byte_of_character() -> dict[str, int]:
    """The byte of each character in byte-level BPE: printable Latin-1 is itself, the rest begin at 256."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def _token_texts(tokenizer: Tokenizer) -> list[str]:
    """Every token that is valid text by itself, 64 tokens to a text, one per line."""
    ids = range(tokenizer.vocab_size - len(tokenizer.control) - len(tokenizer.placeholders))
    texts = [text for text in tokenizer.engine.decode_batch([[index] for index in ids]) if "\ufffd" not in text]
    return ["\n".join(texts[start : start + 64]) for start in range(0, len(texts), 64)]
