"""What a run can take over from an earlier one with other settings, unit by unit, instead of reading the input again.

    staged      the unit's files as they are: only deduplication or publishing has changed
    extracted   its documents as extract_text left them: a later page stage has changed; they go through those stages
    input       nothing: a setting of reading or extraction has changed, or the code, or the files were not kept

The files are in OUT/work of the earlier run, where `gristmill curate --keep-work` leaves them. The rows are those of a
run that reads the input. A page that the page process lost is read from the input again; so is one that was dropped
before it had a document, if its excerpt would be scrubbed by other settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.documents import Document, Dropped
from pipeline.ledger import Tally, read_extracted
from pipeline.page_process import killable_process
from pipeline.page_process.chain import AFTER_EXTRACTION
from pipeline.page_process.killable_process import KillableWorker, PageLost
from pipeline.prepare import Heartbeat, UnitRows, add_answer, read_finished_tally, run_stages, run_unit
from pipeline.publishing.provenance import settings_as_json
from pipeline.reading.units import Unit
from pipeline.stages.order import PAGE_STAGES
from pipeline.stages.read_input import read_record
from pipeline.storage.layout import Layout

_EARLY = ("read_warc", "read_documents", *list(PAGE_STAGES)[:AFTER_EXTRACTION], killable_process.NAME)
_LATE = tuple(list(PAGE_STAGES)[AFTER_EXTRACTION:])
# Settings of deduplication that decide the keys and sketches in staged files.
_OF_SKETCHES = ("bands", "rows", "sentence_words")


class Level(StrEnum):
    """The latest stage output of the earlier run that is still valid."""

    STAGED = "staged"
    EXTRACTED = "extracted"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Reuse:
    """The earlier run, and what of it is still valid."""

    layout: Layout
    level: Level
    scrub_changed: bool = False

    def can_run(self, unit: Unit) -> bool:
        """Whether the earlier run has left what this level needs of the unit."""
        if self.level is Level.INPUT or read_finished_tally(unit.key, self.layout) is None:
            return False
        if self.level is Level.STAGED:
            return True
        return storage.exists(self.layout.unit("extracted", unit.key))


def find_level(old: Mapping[str, Any], new: Mapping[str, Any]) -> Level:
    """The level that is valid between two identities of runs (`config`, `files`, `versions`)."""
    if old["versions"] != new["versions"]:
        return Level.INPUT
    changed = {name for name in new["config"] if old["config"].get(name) != new["config"][name]}
    changed |= {_stage_of(name) for name in {*old["files"], *new["files"]} if _differs(old, new, name)}
    if old["config"]["prepare"].get("drop_text") == new["config"]["prepare"]["drop_text"]:
        changed.discard("prepare")  # the other settings do not decide rows; other units are not found
    sketches = [[run["config"]["deduplicate"].get(name) for name in _OF_SKETCHES] for run in (old, new)]
    if changed & {*_EARLY, "page_process"}:
        return Level.INPUT
    if changed & {*_LATE, "prepare"} or sketches[0] != sketches[1]:
        return Level.EXTRACTED
    return Level.STAGED


def _stage_of(file: str) -> str:
    return file.partition(":")[0]


def _differs(old: Mapping[str, Any], new: Mapping[str, Any], file: str) -> bool:
    return bool(old["files"].get(file) != new["files"].get(file))


def changes_scrubbing(old: Config, new: Config) -> bool:
    """Whether excerpts of pages without a document would be scrubbed differently."""
    return bool(settings_as_json(old)["scrub_pii"] != settings_as_json(new)["scrub_pii"])


def copy_unit(unit: Unit, reuse: Reuse, layout: Layout) -> None:
    """The unit's files from the earlier run, the tally last."""
    for kind in ("staged", "drops", "extracted", "tally"):
        source = reuse.layout.unit(kind, unit.key)
        if storage.exists(source):
            with storage.write_atomically(layout.unit(kind, unit.key)) as file:
                file.write(storage.read_bytes(source))


def rerun_unit(
    unit: Unit,
    config: Config,
    worker: KillableWorker,
    heartbeat: Heartbeat | None = None,
    *,
    reuse: Reuse,
    keep: bool = False,
) -> UnitRows:
    """The rows of the unit from its extracted documents. Raises LedgerError if the counts do not add up."""
    tally = read_finished_tally(unit.key, reuse.layout)
    if tally is None:
        return run_unit(unit, config, worker, heartbeat, keep=keep)
    rows = UnitRows(extracted=[] if keep else None, tally=Tally(pages=tally.pages, records=tally.records))
    drops = list(storage.read_rows(reuse.layout.unit("drops", unit.key)))
    for stored in storage.read_rows(reuse.layout.unit("extracted", unit.key)):
        if stored["drop"] is None:
            _run_document(read_extracted(stored), unit, config, worker, rows)
        else:
            _repeat_drop(drops[stored["drop"]], unit, config, worker, rows, reuse)
        if heartbeat:
            heartbeat.update(rows.tally, unit.start)
    rows.tally.check(f"unit {unit.key}")
    return rows


def _run_document(document: Document, unit: Unit, config: Config, worker: KillableWorker, rows: UnitRows) -> None:
    answer = worker.run(document)
    if isinstance(answer, PageLost):  # the drop of a lost page has no measurements: run the page itself
        place = {"warc_file": document.warc_file, "warc_offset": document.warc_offset}
        _run_from_input(place, unit, config, worker, rows)
    else:
        add_answer(answer, rows)


def _repeat_drop(
    row: dict[str, Any], unit: Unit, config: Config, worker: KillableWorker, rows: UnitRows, reuse: Reuse
) -> None:
    has_text = bool(row["excerpt"] or row["detail"])
    if row["stage"] == killable_process.NAME or (reuse.scrub_changed and has_text):
        _run_from_input(row, unit, config, worker, rows)
    else:
        rows.drops.append(row)
        rows.tally.dropped[f"{row['stage']}:{row['reason']}"] += 1
        rows.add_extracted(None)


def _run_from_input(row: Mapping[str, Any], unit: Unit, config: Config, worker: KillableWorker, rows: UnitRows) -> None:
    path = next((file.path for file in unit.files if file.name == row["warc_file"]), unit.path)
    item = read_record(path, row["warc_offset"], row["warc_file"], config.read_warc, config.read_documents)
    if isinstance(item, Dropped):
        rows.drop(item)
        rows.add_extracted(None)
    else:
        run_stages(item, worker, rows)


def copy_units(units: Mapping[str, Unit], reuse: Reuse, layout: Layout) -> None:
    """Takes over the files of all units that are still valid as they are."""
    for unit in units.values():
        if reuse.can_run(unit) and read_finished_tally(unit.key, layout) is None:
            copy_unit(unit, reuse, layout)
