"""Phase 1: one unit of WARC bytes becomes staged documents, drops and a tally. Plain functions; curate.py spreads them.

The tally is written last and is the mark of a finished unit: a unit that has one is never done again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.config import Config
from pipeline.documents import Document, Dropped, Page
from pipeline.ledger import Tally, document_row, drop_row
from pipeline.page_process.chain import Outcome, build_chain
from pipeline.page_process.killable_process import KillableWorker, PageLost
from pipeline.publishing.provenance import settings_as_json
from pipeline.publishing.schema import DROP, STAGED
from pipeline.reading.units import Unit
from pipeline.stages import read_warc
from pipeline.stages.order import PAGE_STAGES
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, read_json, write_json

HEARTBEAT_SECONDS = 2.0


@dataclass(slots=True)
class UnitRows:
    """What one unit collects before it is written."""

    staged: list[dict[str, Any]] = field(default_factory=list)
    drops: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def keep(self, outcome: Outcome, document: Document) -> None:
        self.staged.append({**document_row(document), **outcome.sketch})
        self.tally.kept += 1
        self.tally.characters += len(document.text)

    def drop(self, dropped: Dropped) -> None:
        self.drops.append(drop_row(dropped))
        self.tally.dropped[f"{dropped.stage}:{dropped.reason}"] += 1


def open_worker(config: Config) -> KillableWorker:
    """The child process that runs the page stages, with this run's budgets."""
    return KillableWorker(build_chain, (config.model_dump_json(),), config.page_process)


def run_unit(unit: Unit, config: Config, worker: KillableWorker, beat: Heartbeat | None = None) -> UnitRows:
    """Every page of the unit through the page stages; `rows.tally` balances or LedgerError is raised."""
    rows = UnitRows()
    for item in read_warc.read_unit(unit, config.read_warc):
        if isinstance(item, read_warc.OtherRecord):
            rows.tally.records[item.kind] += 1
            continue
        rows.tally.pages += 1
        rows.tally.records["page"] += 1
        if isinstance(item, Dropped):
            rows.drop(item)
        else:
            _refine(item, worker, rows)
        if beat:
            beat.page(rows.tally, item.record.warc_offset if isinstance(item, Dropped) else item.warc_offset)
    rows.tally.check(f"unit {unit.key}")
    return rows


def _refine(page: Page, worker: KillableWorker, rows: UnitRows) -> None:
    answer = worker.run(page)
    if isinstance(answer, PageLost):
        rows.drop(answer.as_drop(page))
        return
    rows.tally.cpu_seconds.update(answer.cpu_seconds)
    if isinstance(answer.result, Document):
        rows.keep(answer, answer.result)
    else:
        # The child sends no bytes back; the id is of the whole page.
        record = page if isinstance(answer.result.record, Page) else answer.result.record
        rows.drop(replace(answer.result, record=record))


def prepare_unit(unit: Unit, config: Config, layout: Layout, worker: KillableWorker) -> Tally:
    """Does the unit and writes its three files, the tally last; returns the stored tally where it was done before."""
    done = finished(unit, layout)
    if done is not None:
        return done
    with Heartbeat(unit, layout) as beat:
        rows = run_unit(unit, config, worker, beat)
    write_table(layout.unit("staged", unit.key), rows.staged, STAGED)
    write_table(layout.unit("drops", unit.key), rows.drops, DROP)
    write_json(layout.unit("tally", unit.key), rows.tally.to_json())
    return rows.tally


def finished(unit: Unit, layout: Layout) -> Tally | None:
    """The unit's tally when all its files are whole and agree with it, else None."""
    try:
        tally = Tally.from_json(read_json(layout.unit("tally", unit.key)))
        rows = {kind: storage.count_rows(layout.unit(kind, unit.key)) for kind in ("staged", "drops")}
    except (storage.StorageError, KeyError):  # missing, damaged or written by other code
        return None
    return tally if (rows["staged"], rows["drops"]) == (tally.kept, tally.dropped.total()) else None


def write_table(path: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Whole or not at all."""
    table = pa.Table.from_pylist(rows, schema=schema)
    with storage.write_atomically(path) as file:
        pq.write_table(table, file, compression="zstd", compression_level=3)


class Heartbeat:
    """A small file that says how far a unit is, for whoever watches; gone when the unit ends."""

    def __init__(self, unit: Unit, layout: Layout) -> None:
        self.unit = unit
        self.path = layout.unit("running", unit.key)
        self.started = self.due = time.monotonic()

    def __enter__(self) -> Heartbeat:
        return self

    def __exit__(self, *_: object) -> None:
        storage.remove(self.path)

    def page(self, tally: Tally, offset: int) -> None:
        """Called after every page; writes at most every few seconds."""
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + HEARTBEAT_SECONDS
        progress = {
            "seconds": round(now - self.started, 1),
            "pages": tally.pages,
            "errors": tally.errors,
            "bytes": self.unit.bytes_before(offset),
        }
        write_json(self.path, progress)


def unit_folder_key(config: Config, files: dict[str, str], versions: dict[str, str]) -> str:
    """Fingerprint of everything that decides a unit's bytes: its files lie in a folder of this name."""
    settings = settings_as_json(config)
    names = ("prepare", "read_warc", "page_process", *PAGE_STAGES, "deduplicate")
    return fingerprint({name: settings[name] for name in names}, files, versions)
