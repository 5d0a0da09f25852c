"""Small staged files and published sketches, and runs of deduplication over them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.sketch import PUBLISHED_SKETCH, SKETCH_FIELDS, sketch_columns
from pipeline.deduplication.verdicts import Verdict, read_verdicts
from pipeline.documents import Document

OPTIONS = ["--runner=FnApiRunner"]
SCHEMA = pa.schema(
    [
        *(
            pa.field(name, pa.string())
            for name in ("id", "url", "fetched_at", "host", "registered_domain", "warc_file")
        ),
        pa.field("quality_score", pa.float64()),
        pa.field("characters", pa.int64()),
        *SKETCH_FIELDS,
    ]
)
WORDS = [f"word{i}" for i in range(2000)]


def text(seed: int, length: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def edit_words(original: str, changes: int, seed: int) -> str:
    words, r = original.split(), random.Random(seed)
    for _ in range(changes):
        words[r.randrange(len(words))] = r.choice(WORDS)
    return " ".join(words)


def document(name: str, text: str, **changes: Any) -> Document:
    """A document whose URL and id follow from its name, unless given."""
    host = changes.get("host", "example.org")
    fields = {
        "id": md5(name.encode()).hexdigest(),
        "url": f"http://{host}/{name}",
        "fetched_at": "2026-01-01T00:00:00Z",
        "warc_file": "a.warc.gz",
        "warc_offset": 0,
        "host": host,
        "registered_domain": ".".join(host.split(".")[-2:]),
        "title": "",
    }
    return Document(text=text, **{**fields, **changes})


def row(one: Document, settings: DeduplicateSettings) -> dict[str, Any]:
    """A staged row as phase 1 writes it, as far as deduplication reads it."""
    plain = {name: getattr(one, name) for name in SCHEMA.names if hasattr(one, name)}
    return {**plain, "characters": len(one.text), **sketch_columns(one, settings)}


def write(folder: Path, units: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """One staged file per unit."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"unit-{number}.parquet") for number in range(len(units))]
    for path, rows in zip(paths, units, strict=True):
        pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path)
    return paths


def deduplicate_files(
    paths: Sequence[str], folder: Path, settings: DeduplicateSettings
) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Verdicts by id, and the summary, of a real run on Beam's local runner."""
    summary = run_deduplicate(paths, str(folder), settings, OPTIONS)
    verdicts = {}
    for path in paths:
        ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
        found = read_verdicts(str(folder / Path(path).name))
        verdicts |= dict(zip(ids, found, strict=True))
    return verdicts, summary


def run(
    units: Sequence[Sequence[Document]], folder: Path, settings: DeduplicateSettings | None = None
) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Stages the documents and deduplicates them."""
    settings = settings or DeduplicateSettings()
    paths = write(folder / "staged", [[row(one, settings) for one in unit] for unit in units])
    return deduplicate_files(paths, folder / "verdicts", settings)


def publish(folder: Path, documents: Sequence[Document], settings: DeduplicateSettings | None = None) -> str:
    """Adds a file of sketches as a previous run would have published it; returns the folder."""
    settings = settings or DeduplicateSettings()
    rows = [row(one, settings) for one in documents]
    rows = [{name: one[name] for name in PUBLISHED_SKETCH.names} for one in rows]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist(rows, PUBLISHED_SKETCH), folder / f"part-{len(list(folder.iterdir())):05d}.parquet"
    )
    return str(folder)
