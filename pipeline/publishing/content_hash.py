"""The content hash of an output: equal rows give an equal hash, whatever their order and the files that hold them.

The digests of a file's rows are added modulo 2**256, and the sums over all files are hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

MODULUS = 1 << 256


def row_digest(row: Mapping[str, Any]) -> int:
    """BLAKE2b of the row's canonical JSON as a 256-bit number."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=bytes.hex)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).digest(), "big")


def content_hash(files: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """SHA-256 over the sums of the row digests of `shards` and of `drops`; each file has its sum under `content`."""
    sums = [sum(int(file["content"], 16) for file in files[kind]) % MODULUS for kind in ("shards", "drops")]
    return hashlib.sha256(b"".join(value.to_bytes(32, "big") for value in sums)).hexdigest()
