"""Digests: the SHA-256 of a file, and one fingerprint of plain values."""

from __future__ import annotations

import hashlib
import json

from pipeline.storage.errors import explain_errors
from pipeline.storage.files import open_binary

_BLOCK = 1 << 20  # bytes read at a time


def sha256_of_file(path: str) -> str:
    """64 hex digits. Raises StorageError, which names the file, when it cannot be read."""
    digest = hashlib.sha256()
    with explain_errors(path, "read"), open_binary(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(*values: object) -> str:
    """16 hex digits over JSON values; the order of a mapping's keys does not matter."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
