"""How far a run is, computed from the files that it writes: on every engine, from any machine that can read OUT."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from pipeline import effects, storage
from pipeline.inspection.finished_units import FinishedUnits
from pipeline.reports.formatting import duration
from pipeline.storage.layout import read_json

log = logging.getLogger("gristmill")
TERMINAL_SECONDS = 1.0  # between updates of the progress bar
LOG_SECONDS = 30.0  # between log lines
# Listing a million finished units of an object store takes minutes: at most a fifth of the time is spent on it.
PAUSE_PER_READING = 4.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One reading of the prepare job."""

    units: int
    units_done: int
    bytes: int  # compressed input
    bytes_done: int
    pages: int
    errors: int
    is_exact: bool = True  # False: pages and errors are estimated from a sample of the finished units

    @property
    def error_share(self) -> float:
        """Unreadable and crashed pages per page."""
        return self.errors / self.pages if self.pages else 0.0


class ProgressReader:
    """Combines the finished units with the heartbeats of the running ones."""

    def __init__(self, finished: FinishedUnits) -> None:
        self.finished = finished
        self.input_bytes = sum(finished.sizes.values())

    def read(self) -> Progress:
        """Reads the tallies that are new and the heartbeats."""
        self.finished.update()
        return self.progress()

    def progress(self) -> Progress:
        """The finished units as of the last `read`, and the heartbeats as of now."""
        finished, running = self.finished, self._read_heartbeats()
        pages, errors = (round(count * finished.scale) for count in (finished.total.pages, finished.total.errors))
        return Progress(
            units=len(finished.sizes),
            units_done=len(finished),
            bytes=self.input_bytes,
            bytes_done=finished.bytes + sum(heartbeat["bytes"] for heartbeat in running),
            pages=pages + sum(heartbeat["pages"] for heartbeat in running),
            errors=errors + sum(heartbeat["errors"] for heartbeat in running),
            is_exact=finished.is_exact,
        )

    def _read_heartbeats(self) -> list[dict[str, Any]]:
        names = storage.file_sizes(self.finished.layout.folder("running"))
        keys = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
        running = [key for key in keys if key not in self.finished]
        return [heartbeat for heartbeat in storage.in_threads(self._read_heartbeat, running) if heartbeat]

    def _read_heartbeat(self, key: str) -> dict[str, Any] | None:
        try:
            return read_json(self.finished.layout.unit("running", key))
        except storage.StorageError:  # the unit has just ended
            return None


def describe(now: Progress, start: Progress, seconds: float) -> str:
    """One line: the state now, and the pace since `start`, which was read `seconds` ago.

    >>> start = Progress(4, 0, 400, 0, 0, 0)
    >>> describe(Progress(4, 1, 400, 100, 3000, 3), start, 60)
    'units 1/4, 25% of the input, 3,000 pages, 50 pages/s, errors 0.10%, about 3 min left'
    """
    pages = now.pages - start.pages
    moved = now.bytes_done - start.bytes_done
    parts = [
        f"units {now.units_done}/{now.units}",
        f"{100 * now.bytes_done // max(now.bytes, 1)}% of the input",
        f"{'' if now.is_exact else 'about '}{now.pages:,} pages",
        f"{max(pages, 0) / max(seconds, 0.001):,.0f} pages/s",
        f"errors {now.error_share:.2%}",
    ]
    if moved > 0 and now.bytes_done < now.bytes:
        parts.append(f"about {duration((now.bytes - now.bytes_done) * seconds / moved)} left")
    return ", ".join(parts)


class Watch:
    """Shows progress while the prepare job runs: a bar on a terminal, a log line every half minute elsewhere."""

    def __init__(self, finished: FinishedUnits) -> None:
        self.reader = ProgressReader(finished)
        self.start = self.reader.progress()
        self.began = effects.monotonic()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join()
        if error[0] is None:
            self._log(self.reader.read())

    def _watch(self) -> None:
        if sys.stderr.isatty():
            self._draw()
        else:
            for now in self._readings(LOG_SECONDS):
                self._log(now)

    def _readings(self, seconds: float) -> Iterator[Progress]:
        """A reading every `seconds`, or less often where a reading takes long."""
        pause = seconds
        while not self.stop.wait(pause):
            before = effects.monotonic()
            try:
                yield self.reader.read()
            except storage.StorageError as error:  # the next reading may succeed; the job itself is not affected
                log.warning("cannot read the progress: %s", error)
            pause = max(seconds, PAUSE_PER_READING * (effects.monotonic() - before))

    def _log(self, now: Progress) -> None:
        log.info("prepare: %s", describe(now, self.start, effects.monotonic() - self.began))

    def _draw(self) -> None:
        with tqdm(total=self.start.bytes, initial=self.start.bytes_done, unit="B", unit_scale=True, leave=False) as bar:
            for now in self._readings(TERMINAL_SECONDS):
                bar.update(now.bytes_done - bar.n)
                rate = max(now.pages - self.start.pages, 0) / max(effects.monotonic() - self.began, 0.001)
                bar.set_postfix_str(f"{now.units_done}/{now.units} units, {now.pages:,} pages, {rate:,.0f} pages/s")
