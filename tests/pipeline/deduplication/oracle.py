"""Deduplication by its definitions, in one pass over all documents, to compare whole runs with."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication import minhash
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.verdicts import read_verdicts
from tests.pipeline.deduplication.staging import OPTIONS, document, row, write


def total_order(one: dict[str, Any], place: int) -> tuple[Any, ...]:
    return -one["quality_score"], -one["characters"], one["fetched_at"], one["id"], place


def count_equal_bytes(one: dict[str, Any], other: dict[str, Any]) -> int:
    return sum(a == b for a, b in zip(one["sketch"], other["sketch"], strict=True))


def shares_a_band(one: dict[str, Any], other: dict[str, Any]) -> bool:
    mine, theirs = (np.frombuffer(x["bands"], "<u8").tolist() for x in (one, other))
    return any(a in theirs for a in mine)


def oracle(units: Sequence[Sequence[dict[str, Any]]], settings: DeduplicateSettings) -> dict[int, tuple[str, set[int]]]:
    """{place of a dropped row among all rows: (reason, places of the rows that it duplicates)}."""
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
        matches = {
            other for other in kept if shares_a_band(one, rows[other]) and count_equal_bytes(one, rows[other]) >= need
        }
        if matches:
            lost[place] = ("near_duplicate", matches)
        else:
            kept.append(place)
    return lost


def check_against_oracle(units, folder: Path, settings: DeduplicateSettings) -> None:
    paths = write(folder / "staged", units)
    run_deduplicate(paths, str(folder / "verdicts"), settings, OPTIONS)
    rows = [one for unit in units for one in unit]
    place_of = {one["id"]: place for place, one in enumerate(rows)}
    verdicts = [v for path in paths for v in read_verdicts(str(folder / "verdicts" / Path(path).name))]
    expected = oracle(units, settings)
    assert [v.reason for v in verdicts] == [expected[i][0] if i in expected else None for i in range(len(rows))]
    survivors = {i: place_of[v.survivor] for i, v in enumerate(verdicts) if not v.kept}
    for i, survivor in survivors.items():
        assert verdicts[survivor].kept
        # Its own leader, or the survivor of the leader, if that is dropped itself.
        assert survivor in {survivors.get(leader, leader) for leader in expected[i][1]}
    assert [v.duplicates for v in verdicts] == [list(survivors.values()).count(i) for i in range(len(rows))]


def tangled_rows(seed: int, count: int, settings: DeduplicateSettings) -> list[dict]:
    """Rows with made-up sketches of few values: chains, crossings and large groups that are rare among real texts."""
    r = random.Random(seed)
    rows = []
    for number in range(count):
        one = row(document(f"{seed}-{number}", f"t{number}", quality_score=r.randrange(4) / 4), settings)
        sketch = bytes(r.choices(range(3), k=settings.signature_rows))
        bands = [
            1 + 1000 * band + sum(v * 3**i for i, v in enumerate(sketch[band * settings.rows :][: settings.rows]))
            for band in range(settings.bands)
        ]
        rows.append({**one, "sketch": sketch, "bands": np.array(bands, "<u8").tobytes()})
        if r.random() < 0.2:
            rows[-1]["url_key"] = bytes([r.randrange(4)]) * 16
        if r.random() < 0.2:
            rows[-1]["text_key"] = bytes([r.randrange(8)]) * 16
    return rows
