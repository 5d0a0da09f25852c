"""What a run can take over from an earlier one with other settings, unit by unit, instead of reading the input again.

    staged      the unit's files as they are: only deduplication or publishing has changed
    extracted   its documents as extract_text left them: a later page stage has changed
    input       nothing: a setting of reading or extraction has changed, or the code, or the files were not kept

Of extracted documents, those that a stage before the first changed one had dropped stay dropped. Kept ones go on at
that stage where their text at it is stored: it is the text that was kept, after the stages that change texts or where
none of them changed it. The others go through all stages after extract_text.

The files are in OUT/work of the earlier run. The rows are those of a run that reads the input. A page that the page
process lost is read from the input again; so is one that was dropped before it had a document, if its excerpt would be
scrubbed by other settings, and one whose owner said no, if check_rights has changed: its text is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.documents import Document, Dropped, Halfway
from pipeline.ledger import Tally, read_document
from pipeline.page_process import killable_process
from pipeline.page_process.chain import AFTER_EXTRACTION
from pipeline.page_process.killable_process import KillableWorker, PageLost
from pipeline.prepare import NO_TEXT_KEPT, Heartbeat, UnitRows, add_answer, read_finished_tally, run_stages, run_unit
from pipeline.publishing.provenance import settings_as_json
from pipeline.reading.units import Unit
from pipeline.stages import filter_heuristics, identify_language, scrub_pii
from pipeline.stages.order import PAGE_STAGES
from pipeline.stages.read_input import read_record
from pipeline.storage.layout import Layout

_EARLY = ("read_warc", "read_documents", *list(PAGE_STAGES)[:AFTER_EXTRACTION], killable_process.NAME)
# The page stages after extraction, then what follows all of them.
LATE = (*list(PAGE_STAGES)[AFTER_EXTRACTION:], "deduplicate")
_NUMBER = {name: number for number, name in enumerate(LATE)}
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
    first: str = LATE[0]  # of LATE: the first that has changed
    scrub_changed: bool = False

    def can_run(self, unit: Unit) -> bool:
        """Whether the earlier run has left what this level needs of the unit."""
        if self.level is Level.INPUT:
            return False
        tally = read_finished_tally(unit.key, self.layout)
        if tally is None or self.level is Level.STAGED:
            return tally is not None
        try:
            with storage.read_parquet(self.layout.unit("extracted", unit.key)) as file:
                drop = file.read(columns=["drop"])["drop"]
        except (storage.NoSuchFileError, storage.DamagedFileError):
            return False
        return (len(drop), drop.null_count) == (tally.pages, tally.kept)

    def stays_dropped(self, row: Mapping[str, Any]) -> bool:
        """Whether a page with this row in the drops, and with a document, meets the same fate in the same words."""
        return not self.scrub_changed and _NUMBER.get(row["stage"], len(LATE)) < _NUMBER[self.first]


def plan_reuse(old: Mapping[str, Any], new: Mapping[str, Any], layout: Layout, *, scrub_changed: bool) -> Reuse:
    """What is valid between two identities of runs (`config`, `files`, `versions`); `layout` is of the earlier one."""
    changed = {name for name in new["config"] if old["config"].get(name) != new["config"][name]}
    changed |= {_stage_of(name) for name in {*old["files"], *new["files"]} if _differs(old, new, name)}
    if old["config"]["prepare"].get("drop_text") == new["config"]["prepare"]["drop_text"]:
        changed.discard("prepare")  # the other settings do not decide rows; other units are not found
    sketches = [[run["config"]["deduplicate"].get(name) for name in _OF_SKETCHES] for run in (old, new)]
    if old["versions"] != new["versions"] or changed & {*_EARLY, "page_process"}:
        return Reuse(layout, Level.INPUT)
    if sketches[0] == sketches[1]:
        changed.discard("deduplicate")
    if "prepare" in changed:  # the texts of dropped pages
        return Reuse(layout, Level.EXTRACTED, LATE[0], scrub_changed)
    late = [name for name in LATE if name in changed]
    return Reuse(layout, Level.EXTRACTED, late[0], scrub_changed) if late else Reuse(layout, Level.STAGED)


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
    staged = storage.read_rows(reuse.layout.unit("staged", unit.key))
    for stored in storage.read_rows(reuse.layout.unit("extracted", unit.key)):
        if stored["drop"] is None:
            document, start = _start_kept(stored, next(staged), reuse)
            _run_document(document, start, unit, config, worker, rows)
        elif stored["id"] is None:
            _repeat_lost(drops[stored["drop"]], unit, config, worker, rows, reuse)
        elif reuse.stays_dropped(drops[stored["drop"]]):
            _repeat_drop(drops[stored["drop"]], read_document(stored), rows)
        else:
            document = read_document(stored)
            _run_document(document, document, unit, config, worker, rows)
        if heartbeat:
            heartbeat.update(rows.tally, unit.start)
    rows.tally.check(f"unit {unit.key}")
    return rows


def _start_kept(
    stored: Mapping[str, Any], staged: Mapping[str, Any], reuse: Reuse
) -> tuple[Document, Document | Halfway]:
    """A kept page as extract_text left it, and from where it goes on."""
    is_same_text = stored["text"] is None
    document = read_document({**stored, "text": staged["text"]} if is_same_text else stored)
    first = _NUMBER[reuse.first]
    is_final = first > _NUMBER[filter_heuristics.NAME]
    if first <= _NUMBER[identify_language.NAME] or not (is_same_text or is_final):
        return document, document
    known = None if reuse.first not in PAGE_STAGES else _signals_before(reuse.first)
    halfway = read_document(staged, known)
    if first <= _NUMBER[scrub_pii.NAME]:  # its title may have been scrubbed
        halfway = replace(halfway, title=document.title)
    return document, Halfway(halfway, reuse.first)


def _signals_before(stage: str) -> set[str]:
    names = list(PAGE_STAGES)
    return {signal for name in names[: names.index(stage)] for signal in PAGE_STAGES[name].SIGNALS}


def _run_document(
    document: Document, start: Document | Halfway, unit: Unit, config: Config, worker: KillableWorker, rows: UnitRows
) -> None:
    answer = worker.run(start)
    if isinstance(answer, PageLost):  # the drop of a lost page has no measurements: run the page itself
        place = {"warc_file": document.warc_file, "warc_offset": document.warc_offset}
        _run_from_input(place, unit, config, worker, rows)
    else:
        add_answer(replace(answer, extracted=document), rows)


def _repeat_lost(
    row: dict[str, Any], unit: Unit, config: Config, worker: KillableWorker, rows: UnitRows, reuse: Reuse
) -> None:
    """A page of which no document is stored."""
    has_text = bool(row["excerpt"] or row["detail"])
    is_open = row["stage"] in NO_TEXT_KEPT and not reuse.stays_dropped(row)
    if is_open or row["stage"] == killable_process.NAME or (reuse.scrub_changed and has_text):
        _run_from_input(row, unit, config, worker, rows)
    else:
        _repeat_drop(row, None, rows)


def _repeat_drop(row: dict[str, Any], document: Document | None, rows: UnitRows) -> None:
    rows.drops.append(row)
    rows.tally.dropped[f"{row['stage']}:{row['reason']}"] += 1
    rows.add_extracted(document)


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
