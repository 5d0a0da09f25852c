"""Prepare one unit of the input: every page goes through the page stages and becomes a staged document or a drop.

These are functions of one unit; curate.py runs them on an engine. The tally (the unit's counts) is written last and
marks the unit as finished, so that a resumed run skips it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import effects, storage
from pipeline.config import Config
from pipeline.documents import Document, Dropped, Page
from pipeline.inspection.finished_units import StoredTally, parse_tally
from pipeline.ledger import Tally, document_row, drop_row, extracted_row
from pipeline.page_process.chain import Outcome
from pipeline.page_process.killable_process import KillableWorker, PageLost
from pipeline.publishing.provenance import settings_as_json
from pipeline.publishing.schema import DROP, EXTRACTED, STAGED, add_signals
from pipeline.reading.units import Unit
from pipeline.stages import check_rights, suppress
from pipeline.stages.custom_rules import scorer_signals
from pipeline.stages.order import PAGE_STAGES
from pipeline.stages.read_input import read_unit
from pipeline.stages.read_warc import OtherRecord
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, write_json

log = logging.getLogger("gristmill")
SLOW_PAGE_SECONDS = 10.0  # wall time of the page stages from which a page is named in the log
# Of pages whose owner said no, or that were removed, no text is kept for reruns.
NO_TEXT_KEPT = (check_rights.NAME, suppress.NAME)
HEARTBEAT_SECONDS = 2.0  # between two writes of a unit's heartbeat file


@dataclass(slots=True)
class UnitRows:
    """Rows and counts of one unit before they are written."""

    staged: list[dict[str, Any]] = field(default_factory=list)
    drops: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    extracted: list[dict[str, Any]] | None = None  # a list: every page as extract_text left it is kept, for reruns

    def keep(self, outcome: Outcome, document: Document) -> None:
        self.staged.append({**document_row(document), **outcome.sketch})
        self.tally.kept += 1
        self.tally.characters += len(document.text)

    def drop(self, dropped: Dropped) -> None:
        self.drops.append(drop_row(dropped))
        self.tally.dropped[f"{dropped.stage}:{dropped.reason}"] += 1

    def add_extracted(self, document: Document | None, kept: Document | None = None) -> None:
        """Adds the page that was just dropped, or kept as `kept`, as extract_text left it."""
        if self.extracted is None:
            return
        row = extracted_row(document) if document else {}
        if kept is None:
            row["drop"] = len(self.drops) - 1
        elif row["text"] == kept.text:  # it is in the staged row: a third of all bytes that are kept
            row["text"] = None
        self.extracted.append(row)


def run_unit(
    unit: Unit, config: Config, worker: KillableWorker, heartbeat: Heartbeat | None = None, *, keep: bool = False
) -> UnitRows:
    """Runs every page of the unit through the page stages. Raises LedgerError if the counts do not add up.

    With `keep` the rows hold every page as extract_text left it, too.
    """
    rows, suppressed = UnitRows(extracted=[] if keep else None), suppress.build(config.suppress)
    for position, item in read_unit(unit, config.read_warc, config.read_documents):
        if isinstance(item, OtherRecord):
            rows.tally.records[item.kind] += 1
            continue
        rows.tally.pages += 1
        rows.tally.records["page"] += 1
        if isinstance(item, Dropped):  # a page that could not be read may be one that was removed
            answer = suppressed(item.record) if isinstance(item.record, Page) else item
            rows.drop(answer if isinstance(answer, Dropped) else item)
            rows.add_extracted(None)
        else:
            run_stages(item, worker, rows)
        if heartbeat:
            heartbeat.update(rows.tally, position)
    rows.tally.check(f"unit {unit.key}")
    return rows


def run_stages(page: Page, worker: KillableWorker, rows: UnitRows) -> None:
    """Runs one page through the page stages and adds what becomes of it to `rows`."""
    began = effects.monotonic()
    answer = worker.run(page)
    seconds = effects.monotonic() - began
    if seconds > SLOW_PAGE_SECONDS:
        log.warning("slow page: %.1f s, %r at byte %d of %s", seconds, page.url, page.warc_offset, page.warc_file)
    if isinstance(answer, PageLost):
        rows.drop(answer.as_drop(page))
        rows.add_extracted(None)
        return
    if isinstance(answer.result, Dropped) and isinstance(answer.result.record, Page):
        # The page process does not send the page's bytes back, and the drop's id is computed from them.
        answer = replace(answer, result=replace(answer.result, record=page))
    add_answer(answer, rows)


def add_answer(answer: Outcome, rows: UnitRows) -> None:
    """Adds the page process's answer for one page to `rows`."""
    rows.tally.cpu_seconds.update(answer.cpu_seconds)
    if isinstance(answer.result, Document):
        rows.keep(answer, answer.result)
        rows.add_extracted(answer.extracted, answer.result)
    else:
        rows.drop(answer.result)
        rows.add_extracted(None if answer.result.stage in NO_TEXT_KEPT else answer.extracted)


def prepare_unit(
    unit: Unit,
    config: Config,
    layout: Layout,
    worker: KillableWorker,
    *,
    keep: bool = False,
    run: Callable[..., UnitRows] = run_unit,
) -> Tally:
    """Runs the unit and writes its files, the tally last; does nothing for a finished unit.

    With `keep` the extracted documents are written as well. `run` computes the rows.
    """
    key = unit.key
    finished = read_finished_tally(key, layout)
    if finished is not None:
        return finished
    began = effects.monotonic()
    with Heartbeat(unit, layout) as heartbeat:
        rows = run(unit, config, worker, heartbeat, **({"keep": True} if keep else {}))
    write_unit(key, rows, layout, scorer_signals(config.custom_rules))
    if not sys.stderr.isatty():  # a terminal has the progress bar
        counts = (rows.tally.pages, rows.tally.kept, rows.tally.errors, effects.monotonic() - began)
        log.info("unit %s of %s: %d pages, %d kept, %d errors, %.1f s", key, unit.path, *counts)
    return rows.tally


def read_finished_tally(key: str, layout: Layout) -> Tally | None:
    """The tally of a unit whose files are complete and have the rows that it counts, else None.

    Raises StorageError when the storage does not answer: such a unit must not be done again.
    """
    try:
        stored = parse_tally(storage.read_unchecked(layout.unit("tally", key)))
    except storage.NoSuchFileError:
        return None
    if stored is None:  # damaged, or written by another version
        return None
    try:
        rows = [storage.count_rows(layout.unit(kind, key)) for kind in ("staged", "drops")]
    except (storage.NoSuchFileError, storage.DamagedFileError):
        return None
    return stored.tally if rows == [stored.tally.kept, stored.tally.dropped.total()] else None


def write_unit(key: str, rows: UnitRows, layout: Layout, signals: Sequence[str] = ()) -> None:
    """Writes staged documents, drops, extracted documents and, last, the tally.

    `signals` are those that no stage declares.
    """
    sizes = {
        "staged": write_table(layout.unit("staged", key), rows.staged, add_signals(STAGED, signals)),
        "drops": write_table(layout.unit("drops", key), rows.drops, add_signals(DROP, signals)),
    }
    if rows.extracted is not None:
        write_table(layout.unit("extracted", key), rows.extracted, EXTRACTED, compression_level=9)  # 8% smaller
    write_json(layout.unit("tally", key), StoredTally(rows.tally, sizes).to_json())


def write_table(path: str, rows: list[dict[str, Any]], schema: pa.Schema, compression_level: int = 3) -> int:
    """Writes a Parquet file atomically; returns its size in bytes."""
    table = pa.Table.from_pylist(rows, schema=schema)
    with storage.write_atomically(path) as file:
        pq.write_table(table, file, compression="zstd", compression_level=compression_level)
        return file.tell()


class Heartbeat:
    """A small file with a running unit's progress, read by progress bars and `gristmill status`; removed at the end."""

    def __init__(self, unit: Unit, layout: Layout) -> None:
        self.unit = unit
        self.path = layout.unit("running", unit.key)
        self.started = self.next_write = effects.monotonic()

    def __enter__(self) -> Heartbeat:
        return self

    def __exit__(self, *_: object) -> None:
        storage.remove(self.path)

    def update(self, tally: Tally, position: int) -> None:
        """Called after every page; writes every HEARTBEAT_SECONDS. `position`: bytes of the file before the page."""
        now = effects.monotonic()
        if now < self.next_write:
            return
        self.next_write = now + HEARTBEAT_SECONDS
        progress = {
            "seconds": round(now - self.started, 1),
            "pages": tally.pages,
            "errors": tally.errors,
            "bytes": self.unit.bytes_before(position),
        }
        write_json(self.path, progress)


def unit_folder_key(config: Config, files: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Fingerprint of everything that decides a unit's bytes; names the folder of its files."""
    settings = settings_as_json(config)
    names = ("prepare", "read_warc", "read_documents", "page_process", *PAGE_STAGES, "deduplicate")
    return fingerprint({name: settings[name] for name in names}, files, versions)
