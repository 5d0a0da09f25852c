"""One file of the size that Common Crawl's have (35,000 pages, about 1 GB): killed half-way, resumed, and watched.

    make soak
    python -m tests.benchmarks.soak [--pages 35000 --workers 2 --folder DIR]

The pages are real ones (GRISTMILL_DATA, default ../shared/data, without those of 1996) under new hosts, with words
exchanged. The run is killed with all its processes (SIGKILL) when half of the units are finished, then started again.
Printed are pages per second of both runs together, the memory of all processes by tenths of the run, and the largest
process (proportional set size: memory that processes share is counted once).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.benchmarks import data_folder
from tests.benchmarks.many_pages import read_pages, write_pages

_SECONDS = 0.2  # between two looks


class Watch:
    """A run as a process group, with the memory of its processes over time."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("ab") as file:
            self.run = psutil.Popen(command, stdout=file, stderr=file, start_new_session=True)
        self.memory: list[tuple[int, int]] = []  # bytes of all processes together, and of the largest

    def look(self) -> bool:
        """Whether the run goes on; notes its memory."""
        sizes = []
        for process in [self.run, *self.run.children(recursive=True)]:
            try:
                sizes.append(process.memory_full_info().pss)
            except psutil.Error:
                continue
        if sizes:
            self.memory.append((sum(sizes), max(sizes)))
        return self.run.poll() is None

    def kill(self) -> None:
        os.killpg(self.run.pid, signal.SIGKILL)
        self.run.wait()


def finished_units(output: Path) -> int:
    return len([*output.glob("work/**/tally/*.json")])


def soak(warc: Path, output: Path, workers: int) -> None:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "curate", str(warc)]
    unit_bytes = min(16_000_000, warc.stat().st_size // 8)  # a file for a quick trial has a few units, too
    command += ["--output", str(output), "--workers", str(workers), "--set", f"prepare.unit_bytes={unit_bytes}"]
    half = warc.stat().st_size // unit_bytes // 2
    log, start = output.with_suffix(".log"), time.perf_counter()
    first = Watch(command, log)
    while first.look() and finished_units(output) < half:
        time.sleep(_SECONDS)
    if first.run.poll() is not None:
        raise SystemExit(f"the run ended before it could be killed; see {log}")
    first.kill()
    killed, done = time.perf_counter() - start, finished_units(output)
    print(f"killed after {killed:.0f} s with {done} units finished")
    second = Watch(command, log)
    while second.look():
        time.sleep(_SECONDS)
    if second.run.returncode:
        raise SystemExit(f"the resumed run exited {second.run.returncode}; see {log}")
    report(output, time.perf_counter() - start, first.memory + second.memory)


def report(output: Path, seconds: float, memory: list[tuple[int, int]]) -> None:
    ledger = json.loads((output / "report.json").read_text())
    print(f"{ledger['pages']} pages in {seconds:.0f} s, {ledger['pages'] / seconds:.0f} pages/s; {ledger['kept']} kept")
    tenths = [memory[i * len(memory) // 10 : (i + 1) * len(memory) // 10] for i in range(10)]
    print("all processes, MB by tenths:", *(f"{max(total for total, _ in part) / 1e6:.0f}" for part in tenths if part))
    print(f"largest process {max(largest for _, largest in memory) / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=35_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the file and the output here; default: a temporary folder")
    options = parser.parse_args()
    files = sorted(path for path in (data_folder() / "warc").glob("*.gz") if "webkb" not in path.name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        size = write_pages([*read_pages(files)], options.pages, folder / "pages.warc.gz")
        print(f"{options.pages} pages, {size / 1e6:.0f} MB", flush=True)
        soak(folder / "pages.warc.gz", folder / "curated", options.workers)


if __name__ == "__main__":
    main()
