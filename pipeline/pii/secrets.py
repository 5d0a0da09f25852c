"""Keys, tokens and passwords: formats that their issuers publish, and random values after `key =`.

A value after `key =` counts if it looks random: at least 16 characters, letters and digits, and a Shannon entropy of at
least 3.5 bits per character (an English word has about 2.5 to 3).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import log2

from pipeline.pii.spans import PiiKind, Span

_IN_URL = re.compile(r"://([^\s/@:?#<>\"']{1,64}:[^\s/@?#<>\"']{1,128})@")
MIN_ENTROPY = 3.5  # bits per character
_FORMATS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_[A-Za-z0-9_]{22,}+"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}+"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}"  # Google
    r"|[rs]k_live_[A-Za-z0-9]{16,}+"  # Stripe
    r"|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}+"  # OpenAI, Anthropic
    r"|glpat-[A-Za-z0-9_-]{20,}+|hf_[A-Za-z0-9]{30,}+|npm_[A-Za-z0-9]{36}"
    r"|eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+"  # JWT
    r")(?![A-Za-z0-9])"
)
_FORMAT_STARTS = ("AKIA", "ASIA", "xox", "AIza", "sk-", "glpat-", "eyJ")
_FORMAT_STARTS_WITH_LINE = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "k_live_", "hf_", "npm_")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{1,60}-----|(?:\s{0,4}[A-Za-z0-9+/=]{32,}+)*+)"
)
_ASSIGNED = re.compile(
    r"(?:api|access|secret|private|auth|client)[ _-]?(?:key|token|secret)|secret|token|passw(?:or)?d|bearer",
    re.IGNORECASE,
)
# Necessary conditions for such a name and value: few pages meet both, and they are faster to test than `_ASSIGNED`.
_NAME_PARTS = ("key", "token", "secret", "passw", "bearer")
_LONG_VALUE = re.compile(r"(?<![A-Za-z0-9_+/=.~-])(?=[A-Za-z_+/=.~-]{0,199}+[0-9])[A-Za-z0-9_+/=.~-]{16}")
_VALUE = re.compile(r"[\"']?(?:\s{0,3}[:=]>?\s{0,3}|\s)[\"']?([A-Za-z0-9_+/=.~-]{16,200}+)")


def find_secrets(text: str) -> Iterator[Span]:
    """Keys, tokens, assigned passwords, and user:password in URLs."""
    if "://" in text:
        for match in _IN_URL.finditer(text):
            yield Span(match.start(1), match.end(1), PiiKind.SECRET, match[1])
    if "PRIVATE KEY" in text:
        for match in _PRIVATE_KEY.finditer(text):
            yield Span(match.start(), match.end(), PiiKind.SECRET, match[0])
    if any(start in text for start in _FORMAT_STARTS + (_FORMAT_STARTS_WITH_LINE if "_" in text else ())):
        for match in _FORMATS.finditer(text):
            yield Span(match.start(), match.end(), PiiKind.SECRET, match[0])
    folded = text.casefold()
    if any(part in folded for part in _NAME_PARTS) and _LONG_VALUE.search(text):
        yield from _find_assigned_values(text)


def _find_assigned_values(text: str) -> Iterator[Span]:
    for name in _ASSIGNED.finditer(text):
        value = _VALUE.match(text, name.end())
        if value and _is_random(value[1]):
            yield Span(value.start(1), value.end(1), PiiKind.SECRET, value[1])


def _is_random(value: str) -> bool:
    if not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    entropy = -sum(n / len(value) * log2(n / len(value)) for n in Counter(value).values())
    return entropy >= MIN_ENTROPY
