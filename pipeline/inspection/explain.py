"""`gristmill explain`: replays one page through the stages of its run, from its WARC record to its fate.

The replay uses the same bytes and the settings that the run stored. The explanation states whether the replay gives the
fate in the ledger, and which code, lists or models have changed since the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.inspection.check_duplicates import shingles_of
from pipeline.inspection.find_pages import find_by_id, find_members, find_pages, place_of, suggest_urls
from pipeline.inspection.replay import StageResult, replay
from pipeline.inspection.stored_run import read_stored_run
from pipeline.page_process.chain import Chain
from pipeline.publishing.manifest import check_parts
from pipeline.stages.read_input import read_record
from pipeline.storage.layout import Layout
from pipeline.text import tokenize

_KEPT_COLUMNS = ("language", "quality_score", "education_score", "domain", "words", "duplicates", "weight")
_SURVIVOR_COLUMNS = ("id", "url", "fetched_at", "quality_score", "words")


@dataclass(frozen=True, slots=True)
class Explanation:
    """One capture: its fate in the ledger, its fate in the replay, and whether they agree."""

    url: str
    id: str
    fetched_at: str
    place: str
    ledger: str  # "kept" or "stage: reason"
    stages: tuple[StageResult, ...]
    replayed: str
    agrees: bool
    survivor: Mapping[str, Any] | None  # the kept document that this page is a duplicate of
    duplicates: tuple[Mapping[str, Any], ...]  # the other members of the page's group of duplicates
    kept: Mapping[str, Any] | None  # columns of the shards
    warnings: tuple[str, ...] = ()


def explain_page(wanted: str, output: str) -> list[Explanation]:
    """Every capture of the URL or id. Raises UserError, with similar URLs, for a page that the run did not read."""
    run = read_stored_run(output)
    layout = run.layout
    check_parts(layout, ("shards", "drops", "duplicates"))
    rows = find_pages(layout, wanted)
    if not rows:
        similar = suggest_urls(layout, wanted)
        hint = f"; did you mean {' or '.join(similar)}" if similar else ""
        raise UserError(f"{wanted}: no page of this URL or id in {output}{hint}")
    warnings = run.changes()
    paths = {item.name: item.path for item in run.inputs}
    chain = Chain(run.config)
    return [_explain(row, layout, paths, chain, warnings) for row in rows]


def _explain(
    row: Mapping[str, Any], layout: Layout, paths: Mapping[str, str], chain: Chain, warnings: tuple[str, ...]
) -> Explanation:
    stages = replay(_read_record(row, paths, chain.config), row, chain)
    last = stages[-1]
    replayed = f"{last.name}: {last.reason}" if last.outcome == "dropped" else "kept"
    ledger = "kept" if row["kept"] else f"{row['stage']}: {row['reason']}"
    return Explanation(
        url=row["url"],
        id=row["id"],
        fetched_at=row["fetched_at"] or "",
        place=place_of(row),
        ledger=ledger,
        stages=tuple(stages),
        replayed=replayed,
        agrees=replayed == ledger,
        survivor=_find_survivor(row, layout, stages),
        duplicates=_find_copies(row, layout),
        kept={name: row[name] for name in _KEPT_COLUMNS} if row["kept"] else None,
        warnings=warnings,
    )


def _read_record(row: Mapping[str, Any], paths: Mapping[str, str], config: Config) -> Any:
    path = paths.get(row["warc_file"])
    if path is None or not storage.exists(path):
        raise UserError(
            f"{row['warc_file']}: the file that the run read is no longer at {path}; put it back to replay its pages"
        )
    return read_record(path, row["warc_offset"], row["warc_file"], config.read_warc, config.read_documents)


def _find_survivor(row: Mapping[str, Any], layout: Layout, stages: Sequence[StageResult]) -> Mapping[str, Any] | None:
    if row["kept"] or not row["duplicate_of"]:
        return None
    found = find_by_id(layout, row["duplicate_of"])
    if found is None:
        return {"id": row["duplicate_of"], "url": "", "note": "not in this output, but in that of an earlier snapshot"}
    text = next((stage.after for stage in reversed(stages) if stage.after), "") or stages[-1].before or ""
    similarity = {"similarity": row["value"], "jaccard": jaccard(text, found["text"])}
    return {**_summarize(found), **similarity, "text": found["text"]}


def _find_copies(row: Mapping[str, Any], layout: Layout) -> tuple[Mapping[str, Any], ...]:
    """The other members of the group, as duplicates/ lists them: kept or dropped, of this output or an earlier one."""
    survivor = row["id"] if row["kept"] and row["duplicates"] else row.get("duplicate_of")
    members = find_members(layout, survivor) if survivor else []
    return tuple(member for member in members if (member["id"], member["url"]) != (row["id"], row["url"]))


def _summarize(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _SURVIVOR_COLUMNS if row.get(name) is not None}


def jaccard(left: str, right: str) -> float:
    """Exact Jaccard similarity of the texts' word 5-grams, which the sketches estimate."""
    ours, theirs = (shingles_of(tokenize(text)) for text in (left, right))
    return round(len(ours & theirs) / len(ours | theirs), 4) if ours or theirs else 1.0
