"""Small staged files for tests, and what a patient person would decide about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication import minhash
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.sketch import SKETCH_FIELDS, sketch_columns
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


def document(name: str, text: str, **changes: Any) -> Document:
    """A document whose URL and id follow from its name, unless said otherwise."""
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
    """One staged file a unit."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"unit-{number}.parquet") for number in range(len(units))]
    for path, rows in zip(paths, units, strict=True):
        pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path)
    return paths


def judged(
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
    return judged(paths, folder / "verdicts", settings)


# --- the oracle: one pass over everything, by the definitions ---


def total_order(one: dict[str, Any], place: int) -> tuple[Any, ...]:
    return -one["quality_score"], -one["characters"], one["fetched_at"], one["id"], place


def agreeing(one: dict[str, Any], other: dict[str, Any]) -> int:
    return sum(a == b for a, b in zip(one["sketch"], other["sketch"], strict=True))


def shares_a_band(one: dict[str, Any], other: dict[str, Any]) -> bool:
    mine, theirs = (np.frombuffer(x["bands"], "<u8").tolist() for x in (one, other))
    return any(a in theirs for a in mine)


def oracle(units: Sequence[Sequence[dict[str, Any]]], settings: DeduplicateSettings) -> dict[int, tuple[str, set[int]]]:
    """{place of a dropped row among all rows: (reason, places of those whose copy it is)}."""
    rows = [one for unit in units for one in unit]
    best_first = sorted(range(len(rows)), key=lambda place: total_order(rows[place], place))
    lost: dict[int, tuple[str, set[int]]] = {}
    for column, reason in (("url_key", "same_url"), ("text_key", "same_text")):
        groups = defaultdict(list)
        for place in best_first:
            if place not in lost:
                groups[rows[place][column]].append(place)
        for first, *others in groups.values():
            lost |= dict.fromkeys(others, (reason, {first}))
    kept: list[int] = []
    need = minhash.agreement_for(settings.threshold, settings.signature_rows)
    for place in best_first:
        if place in lost or not rows[place]["bands"]:
            continue
        one = rows[place]
        matches = {other for other in kept if shares_a_band(one, rows[other]) and agreeing(one, rows[other]) >= need}
        if matches:
            lost[place] = ("near_duplicate", matches)
        else:
            kept.append(place)
    return lost
