"""`--metrics-file`: the state of a run in Prometheus' text format, for node_exporter's textfile collector.

The file is replaced as a whole, so a scraper never reads half of it. The collector's labels name the run. Only a file
that `curate` wrote is replaced. A file that cannot be written is a warning: it changes neither the run nor its result.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline import effects, storage
from pipeline.engines.options import SubmittedError
from pipeline.errors import UserError
from pipeline.inspection.status import State, Status, quick_status
from pipeline.stop import cleanup_at_stop
from pipeline.storage.own_files import is_inside

log = logging.getLogger("gristmill")

WRITE_SECONDS = 30.0  # between two writes
_FIRST_LINE = "# HELP gristmill_state 1 for the state that the run is in."
_STATES = ("running", "complete", "failed", "submitted")
_GAUGES = {
    "units": "Units of work of the run.",
    "units_done": "Finished units.",
    "bytes": "Compressed bytes of the input.",
    "bytes_done": "Compressed bytes that were processed.",
    "pages": "Pages that were read.",
    "errors": "Pages that were unreadable or on which a stage failed.",
}


def format_metrics(status: Status, state: str, now: float) -> str:
    """The text of the file; `state` is one of `_STATES`."""
    lines = [_FIRST_LINE, "# TYPE gristmill_state gauge"]
    lines += [f'gristmill_state{{state="{name}"}} {int(name == state)}' for name in _STATES]
    written = "gristmill_written_timestamp_seconds"
    lines += [f"# HELP {written} When this file was written.", f"# TYPE {written} gauge", f"{written} {now:.3f}"]
    if status.progress is not None:
        for name, text in _GAUGES.items():
            lines += [f"# HELP gristmill_{name} {text}", f"# TYPE gristmill_{name} gauge"]
            lines.append(f"gristmill_{name} {getattr(status.progress, name)}")
    return "\n".join(lines) + "\n"


@contextmanager
def write_metrics(path: str | None, output: str) -> Iterator[None]:
    """Writes the file while the block runs, and at its end; does nothing without a path.

    Raises UserError, before the block runs, for a file that no run wrote, and for one in the output: a new run is
    refused a folder with files in it.
    """
    if path is None:
        yield
        return
    if is_inside(path, output):
        raise UserError(f"--metrics-file {path}: is inside --output {output}; name a file outside of it")
    _refuse_foreign(path)
    file = _MetricsFile(path, output)
    file.update()
    stop = threading.Event()
    thread = threading.Thread(target=_update_regularly, args=(file, stop), daemon=True)
    thread.start()
    state = "failed"
    try:
        with cleanup_at_stop(lambda *_: file.write("failed")):  # without reading storage again: time is short
            yield
        state = "complete"
    except SubmittedError:
        state = "submitted"
        raise
    finally:
        stop.set()
        thread.join()
        file.update(state)


def _refuse_foreign(path: str) -> None:
    if not storage.exists(path):
        return
    with storage.open_binary(path) as file:
        start = effects.read_fully(file, len(_FIRST_LINE))
    if start not in (b"", _FIRST_LINE.encode()):
        raise UserError(f"--metrics-file {path}: holds something else; name a new file")


class _MetricsFile:
    """The file of one run. One thread writes it at a time: while a process is stopped, all others are halted."""

    def __init__(self, path: str, output: str) -> None:
        self.path, self.output = path, output
        self.status = Status(State.RUNNING, "", "")
        self.is_failing = False

    def update(self, state: str = "running") -> None:
        """Reads the progress of the run and writes the file."""
        self.status = quick_status(self.output)
        self.write(state)

    def write(self, state: str) -> None:
        """A failure is one warning, not one every 30 s."""
        try:
            with storage.write_atomically(self.path) as file:
                file.write(format_metrics(self.status, state, effects.now()).encode())
            self.is_failing = False
        except storage.StorageError as error:
            if not self.is_failing:
                log.warning("cannot write --metrics-file: %s", error)
            self.is_failing = True


def _update_regularly(file: _MetricsFile, stop: threading.Event) -> None:
    while not stop.wait(WRITE_SECONDS):
        file.update()
