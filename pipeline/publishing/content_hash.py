"""The content hash of an output: equal rows give an equal hash, whatever their order and the files that hold them.

The digests of a file's rows are added modulo 2**256, and the sums over all files are hashed. Beside it, every column
has a sum of its own that other programs compute again in SQL, as FORMAT.md says: it names a column that was changed.
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


COLUMN_MODULUS = 1 << 64


def column_terms(row: Mapping[str, Any]) -> dict[str, int]:
    """What a row adds to the sum of each column: the first 60 bits of SHA-256 over "id:value"; nothing for a null.

    >>> column_terms({"id": "a", "words": 3, "title": None, "opt_outs": ["x", "y"]})["opt_outs"] < 1 << 60
    True
    """
    key = row["id"]
    return {
        name: int(hashlib.sha256(f"{key}:{_as_text(value)}".encode("utf-8", "surrogatepass")).hexdigest()[:15], 16)
        for name, value in row.items()
        if value is not None and not isinstance(value, (bytes, Mapping))
    }


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else repr(value)


def add_columns(sums: dict[str, int], row: Mapping[str, Any], sign: int = 1) -> None:
    """Adds a row to the sums of its columns, or takes it away."""
    for name, term in column_terms(row).items():
        sums[name] = (sums.get(name, 0) + sign * term) % COLUMN_MODULUS


def column_sums(files: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The sums of the columns of all files of a kind, as 16 hex digits; each file has its own under `columns`."""
    sums: dict[str, int] = {}
    for file in files:
        for name, value in file["columns"].items():
            sums[name] = (sums.get(name, 0) + int(value, 16)) % COLUMN_MODULUS
    return write_columns(sums)


def write_columns(sums: Mapping[str, int]) -> dict[str, str]:
    """As the manifest has them; a column of nulls has none."""
    return {name: f"{value:016x}" for name, value in sorted(sums.items()) if value}


def content_sums(files: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """The sums of the row digests of `shards` and of `drops`; each file has its sum under `content`."""
    return {kind: sum(int(file["content"], 16) for file in files[kind]) % MODULUS for kind in ("shards", "drops")}


def hash_sums(sums: Mapping[str, int]) -> str:
    """The content hash: SHA-256 over the sums of `shards` and of `drops`."""
    return hashlib.sha256(b"".join(sums[kind].to_bytes(32, "big") for kind in ("shards", "drops"))).hexdigest()


def content_hash(files: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The content hash of these files."""
    return hash_sums(content_sums(files))
