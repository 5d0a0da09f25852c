"""Cost of curating: CPU seconds per 1,000 pages and a plain loop's, one and two workers, memory at 1x and 8x the input.

    python -m tests.benchmarks.curate [--pages 600]

Real pages from GRISTMILL_DATA (default ../shared/data), without those of 1996, which are fifty times smaller than
today's. The plain loop runs trafilatura on every page, then the same filters, scores and sketches, all in one process.
Pages that quick_look drops are also processed by the other stages; it is a disagreement if these keep such a page.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import trafilatura

from pipeline.config import Config
from pipeline.deduplication.sketch import sketch_columns
from pipeline.documents import Document, Dropped, Page
from pipeline.extraction.charset import decode
from pipeline.page_process.chain import Chain
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import read_unit
from tests.benchmarks import data_folder

AFTER_EXTRACTION = ("identify_language", "scrub_pii", "filter_heuristics", "score_quality", "tag_domain")


def sample_pages(count: int) -> list[Page]:
    """The same number of pages from each file, so that no source dominates the figure."""
    files = [str(path) for path in sorted((data_folder() / "warc").glob("*.gz")) if "webkb" not in path.name]
    inputs = resolve_inputs(files, prefix=None, limit=None)
    share = -(-count // len(inputs))
    return [page for unit in cut_units(inputs, 10**12) for page in _first_pages(unit, share)][:count]


def _first_pages(unit, share: int) -> Iterator[Page]:
    pages = [item for item in read_unit(unit, Config().read_warc) if isinstance(item, Page)]
    step = max(1, len(pages) // share)
    yield from pages[::step][:share]


def run_plain_loop(pages: list[Page], chain: Chain) -> set[str]:
    """URLs kept with trafilatura's text and the same filters."""
    kept = set()
    for page in pages:
        text = trafilatura.extract(
            decode(page.content, page.http_charset)[0], include_comments=False, deduplicate=False
        )
        if not text:
            continue
        record = Document(
            id=page.id, url=page.url, fetched_at=page.fetched_at, warc_file=page.warc_file,
            warc_offset=page.warc_offset, host=page.host, registered_domain=page.registered_domain, title="", text=text,
        )  # fmt: skip
        for name in AFTER_EXTRACTION:
            record = chain.stages[name](record)
            if isinstance(record, Dropped):
                break
        else:
            sketch_columns(record, chain.config.deduplicate)
            kept.add(page.url)
    return kept


def run_chain(pages: list[Page], chain: Chain) -> tuple[set[str], dict[str, float]]:
    """URLs kept by the chain of stages, and CPU seconds by stage."""
    kept, seconds = set(), dict.fromkeys([*chain.stages, "deduplicate"], 0.0)
    for page in pages:
        outcome = chain(page)
        for name, spent in outcome.cpu_seconds.items():
            seconds[name] += spent
        if isinstance(outcome.result, Document):
            kept.add(page.url)
    return kept, seconds


def measure_cpu(function, *arguments):
    start = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - start


def find_wrong_drops(pages: list[Page], chain: Chain) -> list[str]:
    """URLs that quick_look drops and the other stages keep."""
    without = {name: stage for name, stage in chain.stages.items() if name != "quick_look"}
    slow = Chain.__new__(Chain)
    slow.config, slow.stages = chain.config, without
    dropped = [page for page in pages if isinstance(chain.stages["quick_look"](page), Dropped)]
    print(f"quick_look drops {len(dropped)} of {len(pages)} pages")
    return [page.url for page in dropped if isinstance(slow(page).result, Document)]


def compare(count: int) -> None:
    chain = Chain(Config())
    pages = sample_pages(count)
    run_chain(pages[:20], chain)  # load modules and models before the measurement
    run_plain_loop(pages[:20], chain)
    kept: set[str] = set()
    kept_plain: set[str] = set()
    ours = plain = 0.0
    stages: Counter[str] = Counter()
    for start in range(0, len(pages), 20):  # alternate the order (A B, B A, ...) to cancel machine noise
        part = pages[start : start + 20]
        order = (run_chain, run_plain_loop) if start % 40 else (run_plain_loop, run_chain)
        results = {loop: measure_cpu(loop, part, chain) for loop in order}
        (found, seconds), spent = results[run_chain]
        kept, ours = kept | found, ours + spent
        stages.update(seconds)
        found, spent = results[run_plain_loop]
        kept_plain, plain = kept_plain | found, plain + spent
    print(
        f"{len(pages)} pages; CPU s per 1,000 pages: curate {1000 * ours / len(pages):.1f}, "
        f"plain loop {1000 * plain / len(pages):.1f}, ratio {ours / plain:.2f} (target 0.70)"
    )
    for name in (*chain.stages, "deduplicate"):
        print(f"  {name:<18}{1000 * stages[name] / len(pages):>7.2f} s per 1,000 pages, {stages[name] / ours:.0%}")
    wrong = find_wrong_drops(pages, chain)
    print(f"agreement with the stages without it {1 - len(wrong) / len(pages):.2%} (target 99.5%)")
    print(f"kept {len(kept)}; with plain trafilatura's text {len(kept_plain)}, {len(kept & kept_plain)} in both")
    for url in [*wrong, *sorted(kept ^ kept_plain)[:20]]:
        print(f"  only {'curate' if url in kept else 'the plain loop'} keeps {url}")


def measure_workers_and_memory() -> None:
    """Runs of the command: wall time with one and two workers, and the largest process at 1x and 8x the input."""
    with tempfile.TemporaryDirectory() as folder:
        source = data_folder() / "warc" / "autopager-00000.warc.gz"
        for number in range(8):
            shutil.copy(source, Path(folder) / f"copy-{number}.warc.gz")
        files = sorted(Path(folder).glob("*.gz"))
        small = run_command(files[:1], 1, Path(folder) / "small")
        print(f"1x, workers 1: {small[0]:.1f} s, largest process {small[1] / 1e6:.0f} MB")
        walls, peaks = {1: 0.0, 2: 0.0}, []
        for number, workers in enumerate((1, 2, 2, 1)):
            wall, peak = run_command(files, workers, Path(folder) / f"out-{number}")
            print(f"8x, workers {workers}: {wall:.1f} s, largest process {peak / 1e6:.0f} MB")
            walls[workers] += wall
            peaks.append(peak)
        print(f"two workers are {walls[1] / walls[2]:.2f} times as fast as one (target 1.8)")
        print(f"memory at 8x is {max(peaks) / small[1]:.2f} times that at 1x (target: no growth)")


def run_command(files: list[Path], workers: int, output: Path) -> tuple[float, int]:
    """Wall seconds and the peak memory of the largest process."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "curate", *map(str, files)]
    command += ["--output", str(output), "--workers", str(workers), "--set", "prepare.unit_bytes=2000000"]
    start = time.perf_counter()
    run = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while run.poll() is None:
        for process in [run, *run.children(recursive=True)]:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(0.2)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} exited {run.returncode}")
    return time.perf_counter() - start, peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=600)
    compare(parser.parse_args().pages)
    measure_workers_and_memory()
