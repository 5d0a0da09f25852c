"""Rewards that code can check: numbers, texts, JSON, and instructions such as "in at most 20 words".

An item says how its answer is verified: {"kind": "number", "answer": "12"}. A verifier is a function of the answer and
of that object; it returns 0 to 1 and never raises on an answer, which is whatever a model wrote.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from trainer.errors import UserError

Check = Mapping[str, Any]  # how an item is verified
MAX_CHARACTERS = 100_000  # of an answer that is looked at
# A number with thousands separators, a fraction or an exponent; not the digits of a word.
_NUMBER = re.compile(r"(?<![\w.,])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?!\w)")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = re.compile(r"[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)


def verify(answer: str, check: Check) -> float:
    """How right an answer is, 0 to 1."""
    return VERIFIERS[check["kind"]](answer[:MAX_CHARACTERS], check)


def check_verifier(check: Any) -> Check:
    """The object itself if it names a verifier with all that it needs. Raises UserError else."""
    if not isinstance(check, Mapping) or check.get("kind") not in VERIFIERS:
        raise UserError(f"verify: name a kind, one of {', '.join(VERIFIERS)}")
    try:
        verify("1", check)
    except (ArithmeticError, KeyError, TypeError, ValueError, AttributeError) as error:  # no rule, no number, ...
        raise UserError(f"verify: {check['kind']} lacks or cannot use {error}") from error
    return check


def _number(answer: str, check: Check) -> float:
    """1 if the last number of the answer is the right one (GSM8K's convention)."""
    expected = Decimal(str(check["answer"]).replace(",", ""))
    if not expected.is_finite():
        raise ValueError(f"{expected} as an answer")
    found = _NUMBER.findall(answer)
    return float(bool(found) and Decimal(found[-1].replace(",", "")) == expected)


def _text(answer: str, check: Check) -> float:
    """1 if the answer is one of the right texts, whatever their case, punctuation and articles (SQuAD's convention)."""
    return float(any(normalize(answer) == normalize(right) for right in _texts(check["answer"])))


def _f1(answer: str, check: Check) -> float:
    """The best F1 of the answer's words against a right text."""
    return max(word_f1(answer, right) for right in _texts(check["answer"]))


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError("answer: a text or a list of texts")
    return texts


def normalize(text: str) -> list[str]:
    """Words in lower case without punctuation and articles."""
    return _ARTICLE.sub(" ", _PUNCTUATION.sub("", text.lower())).split()


def word_f1(answer: str, right: str) -> float:
    """The harmonic mean of precision and recall of the answer's words as multisets."""
    a, b = Counter(normalize(answer)), Counter(normalize(right))
    if not a or not b:
        return float(a == b)
    return 2 * (a & b).total() / (a.total() + b.total())


def _json(answer: str, check: Check) -> float:
    """1 if the whole answer is JSON; with `keys` an object that has them."""
    keys = _texts(check["keys"]) if check.get("keys") else []
    try:
        found = json.loads(answer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return 0.0
    return float(not keys or (isinstance(found, dict) and all(key in found for key in keys)))


def _refuse_constant(name: str) -> None:
    """NaN, Infinity and -Infinity, which Python reads and writes, are no JSON."""
    raise ValueError(name)


def _constraints(answer: str, check: Check) -> float:
    """The share of the `rules` that the answer keeps."""
    rules = check["rules"]
    kept = [CONSTRAINTS[name](answer, value) for name, value in rules.items()]
    return sum(kept) / len(kept)


def _words(text: str) -> int:
    return len(text.split())


def _parts(pieces: list[str]) -> list[str]:
    return [piece for piece in pieces if piece.strip()]


CONSTRAINTS: Mapping[str, Callable[[str, Any], bool]] = {
    "min_words": lambda text, value: _words(text) >= int(value),
    "max_words": lambda text, value: 0 < _words(text) <= int(value),
    "max_characters": lambda text, value: 0 < len(text.strip()) <= int(value),
    "sentences": lambda text, value: len(_parts(_SENTENCE_END.split(text))) == int(value),
    "paragraphs": lambda text, value: len(_parts(text.split("\n\n"))) == int(value),
    "bullets": lambda text, value: len(_BULLET.findall(text)) == int(value),
    "contains": lambda text, value: all(word.lower() in text.lower() for word in _texts(value)),
    "excludes": lambda text, value: bool(text.strip()) and not any(w.lower() in text.lower() for w in _texts(value)),
    "starts_with": lambda text, value: text.lstrip().startswith(str(value)),
    "ends_with": lambda text, value: text.rstrip().endswith(str(value)),
    "lower_case": lambda text, value: (bool(text.strip()) and text == text.lower()) is bool(value),
    "upper_case": lambda text, value: (bool(text.strip()) and text == text.upper()) is bool(value),
    "no_commas": lambda text, value: (bool(text.strip()) and "," not in text) is bool(value),
    "in_quotes": lambda text, value: bool(re.fullmatch(r'\s*"[^"]+"\s*', text)) is bool(value),
}

VERIFIERS: Mapping[str, Callable[[str, Check], float]] = {
    "number": _number,
    "text": _text,
    "f1": _f1,
    "json": _json,
    "constraints": _constraints,
}
