"""Count the tokens of texts by a tokenizer.json, of the library `tokenizers` or of `gristmill train tokenizer`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import effects
from pipeline.errors import UserError


@cache
def load_token_counter(path: Path) -> Callable[[str], int]:
    """The function text -> tokens, without tokens that a tokenizer puts around a text. Raises UserError."""
    try:
        import tokenizers
    except ImportError:
        raise UserError("publish.tokenizer needs the package tokenizers: pip install tokenizers") from None
    try:
        engine: Any = tokenizers.Tokenizer.from_str(effects.read_file(str(path)).decode())
    except OSError as error:
        raise UserError(f"publish.tokenizer: {path}: {error.strerror or error}") from None
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"publish.tokenizer: {path}: no tokenizer.json ({str(error)[:100]})") from None
    engine.no_padding()
    engine.no_truncation()
    engine.encode_special_tokens = True  # control tokens in a page are text, as in training
    return lambda text: len(engine.encode(text, add_special_tokens=False).ids)
