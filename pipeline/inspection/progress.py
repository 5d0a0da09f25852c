"""How far a run is, read from the files that it writes: the same on every engine, from any machine that sees OUT."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tqdm import tqdm

from pipeline import storage
from pipeline.ledger import Tally
from pipeline.reading.units import Unit
from pipeline.storage.layout import Layout, read_json

log = logging.getLogger("gristmill")
TERMINAL_SECONDS = 1.0
LOG_SECONDS = 30.0
STATUS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One reading of the first phase."""

    units: int
    units_done: int
    bytes: int  # compressed input
    bytes_done: int
    pages: int
    errors: int

    @property
    def error_share(self) -> float:
        """Unreadable and crashed pages per page."""
        return self.errors / self.pages if self.pages else 0.0


class Reader:
    """Reads tallies once each and heartbeats every time."""

    def __init__(self, layout: Layout, sizes: Mapping[str, int]) -> None:
        self.layout = layout
        self.sizes = sizes  # compressed bytes by unit key
        self.tallies: dict[str, Tally] = {}

    def read(self) -> Progress:
        """What is done by now, units in work included."""
        done = self._names("tally") - self.tallies.keys()
        with ThreadPoolExecutor(8) as pool:
            for key, tally in zip(sorted(done), pool.map(self._tally, sorted(done)), strict=True):
                self.tallies[key] = tally
        running = [beat for key in sorted(self._names("running") - self.tallies.keys()) for beat in self._beat(key)]
        finished = [key for key in self.tallies if key in self.sizes]
        return Progress(
            units=len(self.sizes),
            units_done=len(finished),
            bytes=sum(self.sizes.values()),
            bytes_done=sum(self.sizes[key] for key in finished) + sum(beat["bytes"] for beat in running),
            pages=sum(self.tallies[key].pages for key in finished) + sum(beat["pages"] for beat in running),
            errors=sum(self.tallies[key].errors for key in finished) + sum(beat["errors"] for beat in running),
        )

    def _names(self, kind: str) -> set[str]:
        folder = storage.join(self.layout.work, kind)
        names = (path.rsplit("/", 1)[-1] for path in storage.list_files(folder)) if storage.is_folder(folder) else ()
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def _tally(self, key: str) -> Tally:
        return Tally.from_json(read_json(self.layout.unit("tally", key)))

    def _beat(self, key: str) -> list[dict[str, int]]:
        try:
            return [read_json(self.layout.unit("running", key))]
        except storage.StorageError:  # it has just ended
            return []


def sizes_of(units: Sequence[Unit]) -> dict[str, int]:
    """Compressed bytes by unit key."""
    return {unit.key: unit.bytes_before(unit.end) for unit in units}


def describe(now: Progress, start: Progress, seconds: float) -> str:
    """One line for people: now, and the pace since `start`, `seconds` ago.

    >>> start = Progress(4, 0, 400, 0, 0, 0)
    >>> describe(Progress(4, 1, 400, 100, 3000, 3), start, 60)
    'units 1/4, 25% of the input, 3,000 pages, 50 pages/s, errors 0.10%, about 3 min left'
    """
    pages = now.pages - start.pages
    moved = now.bytes_done - start.bytes_done
    parts = [
        f"units {now.units_done}/{now.units}",
        f"{100 * now.bytes_done // max(now.bytes, 1)}% of the input",
        f"{now.pages:,} pages",
        f"{pages / max(seconds, 0.001):,.0f} pages/s",
        f"errors {now.error_share:.2%}",
    ]
    if moved > 0 and now.bytes_done < now.bytes:
        parts.append(f"about {duration((now.bytes - now.bytes_done) * seconds / moved)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Rounded as people say it.

    >>> duration(42), duration(180), duration(8000)
    ('42 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Watch:
    """Shows progress while the first phase runs: a bar on a terminal, a log line every half minute elsewhere."""

    def __init__(self, layout: Layout, sizes: Mapping[str, int]) -> None:
        self.reader = Reader(layout, sizes)
        self.start = self.reader.read()
        self.began = time.monotonic()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join()
        if error[0] is None:
            log.info("prepare: %s", describe(self.reader.read(), self.start, time.monotonic() - self.began))

    def _watch(self) -> None:
        if sys.stderr.isatty():
            self._draw()
        else:
            while not self.stop.wait(LOG_SECONDS):
                log.info("prepare: %s", describe(self.reader.read(), self.start, time.monotonic() - self.began))

    def _draw(self) -> None:
        with tqdm(total=self.start.bytes, initial=self.start.bytes_done, unit="B", unit_scale=True, leave=False) as bar:
            while not self.stop.wait(TERMINAL_SECONDS):
                now = self.reader.read()
                bar.update(now.bytes_done - bar.n)
                rate = (now.pages - self.start.pages) / max(time.monotonic() - self.began, 0.001)
                bar.set_postfix_str(f"{now.units_done}/{now.units} units, {now.pages:,} pages, {rate:,.0f} pages/s")


def read_status(output: str) -> str:
    """What `gristmill status` prints. Raises ValueError where there is no run."""
    layout = Layout(output)
    if storage.exists(layout.manifest):
        manifest = read_json(layout.manifest)
        return f"complete: {manifest['pages']:,} pages read, {manifest['kept']:,} kept, {manifest['words']:,} words"
    if not storage.exists(layout.run):
        raise ValueError(f"{output}: no run.json here; `gristmill curate ... --output {output}` starts a run")
    run = read_json(layout.run)
    layout = Layout(output, run["work"])
    reader = Reader(layout, {name: int(size) for name, size in run["units"].items()})
    start, began = reader.read(), time.monotonic()
    if start.units_done < start.units:
        time.sleep(STATUS_SECONDS)  # two looks make a pace
        return f"prepare: {describe(reader.read(), start, time.monotonic() - began)}"
    published = storage.join(layout.work, "published")
    parts = len(storage.list_files(published)) if storage.is_folder(published) else 0
    return f"publish: {parts} parts written" if parts else "deduplicate: all units are prepared"
