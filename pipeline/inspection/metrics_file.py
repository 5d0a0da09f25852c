"""`--metrics-file`: the state of a run in Prometheus' text format, for node_exporter's textfile collector.

The file is replaced as a whole, so a scraper never reads half of it. The collector's labels name the run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline import effects, storage
from pipeline.inspection.status import Status, quick_status

WRITE_SECONDS = 30.0  # between two writes
_STATES = ("running", "complete", "failed")
_GAUGES = {
    "units": "Units of work of the run.",
    "units_done": "Finished units.",
    "bytes": "Compressed bytes of the input.",
    "bytes_done": "Compressed bytes that were processed.",
    "pages": "Pages that were read.",
    "errors": "Pages that were unreadable or on which a stage failed.",
}


def format_metrics(status: Status, state: str, now: float) -> str:
    """The text of the file; `state` is running, complete or failed."""
    lines = ["# HELP gristmill_state 1 for the state that the run is in.", "# TYPE gristmill_state gauge"]
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
    """Writes the file while the block runs, and at its end; does nothing without a path."""
    if path is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_write_regularly, args=(path, output, stop), daemon=True)
    _write(path, output, "running")
    thread.start()
    state = "failed"
    try:
        yield
        state = "complete"
    finally:
        stop.set()
        thread.join()
        _write(path, output, state)


def _write_regularly(path: str, output: str, stop: threading.Event) -> None:
    while not stop.wait(WRITE_SECONDS):
        _write(path, output, "running")


def _write(path: str, output: str, state: str) -> None:
    text = format_metrics(quick_status(output), state, effects.now())
    with storage.write_atomically(path) as file:
        file.write(text.encode())
