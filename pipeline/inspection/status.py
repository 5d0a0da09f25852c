"""`gristmill status`: the phase of a run, how far it is, and whether the process that runs it is alive."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipeline import effects, storage
from pipeline.errors import UserError
from pipeline.inspection.finished_units import FinishedUnits, read_unit_sizes
from pipeline.inspection.progress import Progress, ProgressReader, describe
from pipeline.reports.formatting import duration
from pipeline.storage.layout import Layout, read_manifest, read_report, read_run
from pipeline.storage.lease import read_lease

STATUS_SECONDS = 5.0  # between the two readings from which the pace is computed
STATUS_TALLIES = 2_000  # tallies that are read at most; with more units the page counts are estimates
SILENT_SECONDS = 120.0  # the owner of a lease sends a heartbeat every 100 s, a unit every 2 s while its pages end


class State(StrEnum):
    """Whether somebody works on a run."""

    COMPLETE = "complete"
    RUNNING = "running"
    SLOW = "slow"  # its process is alive, but no unit has finished a page for a while
    DEAD = "dead"  # its process is gone, or has sent no heartbeat for a while
    STOPPED = "stopped"  # nobody works on it


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a run from its files."""

    state: State
    phase: str
    detail: str
    owner: str | None = None  # host and process
    owner_beat_seconds: float | None = None  # since the owner's last heartbeat
    unit_beat_seconds: float | None = None  # since the last heartbeat of any unit
    progress: Progress | None = None
    warnings: tuple[str, ...] = ()  # of a complete run, alarms over snapshots included

    def to_json(self) -> dict[str, Any]:
        """Plain values; `state` and `phase` are the ones to watch."""
        return asdict(self)

    def describe(self) -> str:
        """Two lines for the terminal."""
        line = f"{self.phase}: {self.detail}"
        if self.state is State.COMPLETE:
            return "\n".join([line, *(f"warning: {text}" for text in self.warnings)])
        beats = [
            f"{what} {duration(seconds)} ago"
            for what, seconds in (
                ("last heartbeat of its process", self.owner_beat_seconds),
                ("of a unit", self.unit_beat_seconds),
            )
            if seconds is not None
        ]
        advice = "; the same command resumes it" if self.state in (State.DEAD, State.STOPPED) else ""
        by = f", {self.owner}" if self.owner else ""
        return f"{line}\n{self.state}{by}{' (' + ', '.join(beats) + ')' if beats else ''}{advice}"


def read_status(output: str) -> Status:
    """The status of an output. Raises UserError where there is no run."""
    layout = Layout(output)
    if storage.exists(layout.manifest):
        manifest = read_manifest(layout)
        counts = f"{manifest['pages']:,} pages read, {manifest['kept']:,} kept, {manifest['words']:,} words"
        warnings = read_report(layout)["warnings"] if storage.exists(layout.report) else ()
        return Status(State.COMPLETE, "complete", counts, warnings=tuple(warnings))
    if not storage.exists(layout.run):
        raise UserError(f"{output}: no run.json; `gristmill curate ... --output {output}` starts a run")
    layout = Layout(output, read_run(layout)["work"])
    if not storage.exists(layout.unit_table):
        return _with_owner(layout, "starting", "the list of units is not written yet")
    reader = ProgressReader(FinishedUnits(layout, read_unit_sizes(layout), max_reads=STATUS_TALLIES))
    start, began = reader.read(), effects.monotonic()
    if start.units_done == start.units:
        return _with_owner(layout, *_phase_after_prepare(layout), progress=start)
    effects.sleep(STATUS_SECONDS)
    now = reader.read()
    return _with_owner(layout, "prepare", describe(now, start, effects.monotonic() - began), progress=now)


def quick_status(output: str) -> Status:
    """The progress as of now, without the pace; for metrics, also where the run has not begun."""
    layout = Layout(output)
    try:
        layout = Layout(output, read_run(layout)["work"])
        reader = ProgressReader(FinishedUnits(layout, read_unit_sizes(layout), max_reads=STATUS_TALLIES))
        return Status(State.RUNNING, "", "", progress=reader.read())
    except storage.StorageError:  # not begun, or its work files are removed because it is complete
        return Status(State.STOPPED, "", "")


def _phase_after_prepare(layout: Layout) -> tuple[str, str]:
    parts = sum(name.endswith(".json") for name in storage.file_sizes(layout.folder("published")))
    if parts:
        return "publish", f"{parts} parts written"
    if storage.glob_files(storage.join(layout.work, "verdicts-*", "summary.json")):
        return "count words", "all units are prepared and deduplicated"
    return "deduplicate", "all units are prepared"


def _with_owner(layout: Layout, phase: str, detail: str, progress: Progress | None = None) -> Status:
    lease, unit_beat = read_lease(layout.lease), _last_unit_beat(layout)
    if lease is None:  # a job that was only handed to a cluster goes on without its launcher
        is_working = unit_beat is not None and unit_beat < SILENT_SECONDS
        return Status(State.RUNNING if is_working else State.STOPPED, phase, detail, None, None, unit_beat, progress)
    if lease.is_free or lease.beat_seconds > SILENT_SECONDS:
        state = State.DEAD
    else:
        is_silent = phase == "prepare" and unit_beat is not None and unit_beat > SILENT_SECONDS
        state = State.SLOW if is_silent else State.RUNNING
    return Status(state, phase, detail, lease.owner, round(lease.beat_seconds, 1), unit_beat, progress)


def _last_unit_beat(layout: Layout) -> float | None:
    """Seconds since a running unit wrote its heartbeat; None where no unit runs."""
    folder, ages = layout.folder("running"), []
    for name in storage.list_names(folder):
        if name.endswith(".json"):
            try:
                ages.append(effects.now() - storage.modification_time(storage.join(folder, name)))
            except storage.NoSuchFileError:  # the unit has just ended
                continue
    return round(max(min(ages), 0.0), 1) if ages else None
