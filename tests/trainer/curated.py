"""Small datasets in the pipeline's format, for tests: Parquet shards and a manifest written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("registered_domain", pa.string()),
        ("fetched_at", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float64()),
        ("quality_score", pa.float64()),
        ("domain", pa.string()),
        ("domain_score", pa.float64()),
        ("words", pa.int64()),
        ("characters", pa.int64()),
        ("duplicates", pa.int64()),
        ("weight", pa.float64()),
        ("signals", pa.struct([("mean_word_length", pa.float64())])),
    ]
)

COMMON = ["the", "of", "and", "in", "a", "to", "is", "with", "for", "on"]
WORDS = {
    "health": ["heart", "blood", "patient", "doctor", "clinic", "dose", "fever", "lung", "nurse", "vaccine", *COMMON],
    "software": ["def", "return", "class", "import", "list", "index", "error", "loop", "test", "code", *COMMON],
    "travel": ["train", "hotel", "beach", "ticket", "city", "museum", "river", "mountain", "flight", "map", *COMMON],
}


def row(number: int, text: str, *, domain: str = "health", weight: float = 1.0, **more: Any) -> dict[str, Any]:
    """One shard row."""
    values = {
        "id": hashlib.blake2b(f"{number}".encode(), digest_size=16).hexdigest(),
        "url": f"https://{domain}.example/{number}",
        "host": f"{domain}.example",
        "registered_domain": f"{domain}.example",
        "fetched_at": "2026-10-01T12:00:00Z",
        "warc_file": f"crawl-{number % 3}.warc.gz",
        "warc_offset": 1000 * number,
        "title": f"Page {number}",
        "text": text,
        "language": "en",
        "language_score": 0.99,
        "quality_score": (number % 10) / 10,
        "domain": domain,
        "domain_score": 0.9,
        "words": len(text.split()),
        "characters": len(text),
        "duplicates": 0,
        "weight": weight,
        "signals": {"mean_word_length": 4.5},
    }
    return values | more


def pages(
    count: int, seed: int = 0, words: tuple[int, int] = (20, 200), weights: Sequence[float] = (1.0,)
) -> list[dict[str, Any]]:
    """Rows of three domains, each with a vocabulary of its own; weights in turn."""
    random = Random(seed)
    names = sorted(WORDS)
    rows = []
    for number in range(count):
        domain = names[number % len(names)]
        text = " ".join(random.choices(WORDS[domain], k=random.randint(*words)))
        rows.append(row(number + 1_000_000 * seed, text, domain=domain, weight=weights[number % len(weights)]))
    return rows


def write_dataset(folder: Path, rows: Sequence[dict[str, Any]], shards: int = 2, schema: pa.Schema = SCHEMA) -> Path:
    """A dataset folder as gristmill curate leaves it."""
    (folder / "shards").mkdir(parents=True)
    entries = []
    for number in range(shards):
        mine = rows[number * len(rows) // shards : (number + 1) * len(rows) // shards]
        path = folder / "shards" / f"part-{number:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(list(mine), schema=schema), path, compression="zstd")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append(
            {"path": f"shards/{path.name}", "rows": len(mine), "bytes": path.stat().st_size, "sha256": digest}
        )
    content = hashlib.sha256(json.dumps(list(rows), sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"content_hash": content, "shards": entries}))
    return folder
