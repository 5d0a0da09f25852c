"""Count the tokens of texts by a tokenizer.json, of the library `tokenizers` or of `gristmill train tokenizer`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.errors import UserError


@cache
def load_token_counter(path: Path) -> Callable[[str], int]:
    """text -> tokens, without those that a tokenizer puts around a text. Raises UserError and StorageError."""
    try:
        import tokenizers
    except ImportError:
        raise UserError("publish.tokenizer needs the package tokenizers: pip install tokenizers") from None
    content = storage.read_named(path, "publish.tokenizer:")
    try:
        engine: Any = tokenizers.Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"publish.tokenizer: {path}: no tokenizer.json ({str(error)[:100]})") from None
    engine.no_padding()
    engine.no_truncation()
    engine.encode_special_tokens = True  # control tokens in a page are text, as in training
    return lambda text: len(engine.encode(text, add_special_tokens=False).ids)
