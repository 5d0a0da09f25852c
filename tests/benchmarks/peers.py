"""CPU of whole runs beside datatrove and a plain loop: per page and fixed, on a mix like a crawl's and on articles.

    make bench-peers          the peers' environment, then this
    python -m tests.benchmarks.peers [--pages 400 --repetitions 2 --peers .venv-peers/bin/python]

Each run is a process of its own, and its CPU is that of the whole process tree. Every tool curates a small and a large
sample of the same pages (a fifth and all of them); the slope between the two is the cost of a page, the rest is fixed:
imports, models, the start of Beam. The runs alternate to cancel machine noise. What the tools do is not the same:
gristmill also scores quality, topic, kind and harm, deduplicates URLs and paragraphs, and writes ledger and report.
The ratio depends on the pages. Most pages of a crawl are dropped, many before extraction; articles are kept.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import json
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from classifiers.artifacts import default_folder
from tests.benchmarks import data_folder

# Sources by mix, with their shares of the records. A crawl's has old and new pages, forums, listings, shops, contact
# pages, and records that are no pages; WebKB's tiny pages of 1996 have a small share.
MIXES = {
    "crawl": {
        "trafilatura-00000": 4, "daniel-waddle-00001": 2, "newspaper-family-00000": 2, "autopager-00000": 3,
        "webstruct-00000": 4, "recipe-scrapers-00001": 2, "page-compare-00000": 1, "clueweb09-sample-00000": 1,
        "webkb-00000": 2, "real-warcs-00002": 2,
    },
    "articles": {"trafilatura-00000": 3, "daniel-waddle-00001": 3, "newspaper-family-00000": 1},
}  # fmt: skip
SMALL = 5  # the small sample is this part of the large one


@dataclass(frozen=True)
class Record:
    """One WARC record: a gzip member of a file."""

    source: str
    offset: int
    length: int


def choose(mix: dict[str, int], count: int) -> list[Record]:
    """Evenly spaced records of each source, the sources in turn, so that every prefix has about the same mix."""
    found: dict[str, list[Record]] = defaultdict(list)
    with gzip.open(data_folder() / "pages.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            name = row["warc"].removesuffix(".warc.gz")
            if name in mix:
                found[name].append(Record(name, row["offset"], row["length"]))
    chosen = []
    for name, share in mix.items():
        wanted = min(len(found[name]), count * share // sum(mix.values()))
        step = len(found[name]) / max(1, wanted)
        chosen += [((i + 0.5) / wanted, found[name][int(i * step)]) for i in range(wanted)]
    return [record for _, record in sorted(chosen, key=lambda pair: pair[0])]


def write_warc(records: list[Record], path: Path) -> None:
    """A WARC file of these records, copied as they are compressed."""
    path.parent.mkdir(parents=True)
    files = {name: (data_folder() / "warc" / f"{name}.warc.gz").open("rb") for name in {r.source for r in records}}
    with path.open("wb") as warc:
        for record in records:
            files[record.source].seek(record.offset)
            warc.write(files[record.source].read(record.length))
    for file in files.values():
        file.close()


def commands(warcs: Path, output: Path, peers: Path) -> dict[str, list[str]]:
    """The command of each tool; all use one worker."""
    gristmill = [sys.executable, "-c", "from pipeline.cli import main; main()", "curate", *map(str, warcs.glob("*"))]
    found = {"gristmill": [*gristmill, "--output", str(output), "--workers", "1"]}
    if peers.exists():
        script, model = Path(__file__).with_name("peer_pipelines.py"), default_folder("language") / "model.ftz"
        for name in ("datatrove", "loop"):
            found[name] = [str(peers), str(script), name, str(warcs), str(output), str(model)]
    return found


def compile_sources() -> None:
    """Bytecode, as pip writes it for the peers: from a checkout each run would compile our modules twice, 0.7 s."""
    for package in ("pipeline", "classifiers"):
        compileall.compile_dir(Path(__file__).parents[2] / package, quiet=1)


def cpu_seconds(command: list[str], log: Path) -> float:
    """CPU of the process and of its children, which it has waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("wb") as file:
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(mix: dict[str, int], count: int, repetitions: int, peers: Path, folder: Path) -> None:
    """Print each run, then the cost of a record and the fixed cost of each tool."""
    records = choose(mix, count)
    samples = {len(part): part for part in (records[: len(records) // SMALL], records)}
    for size, part in samples.items():
        write_warc(part, folder / str(size) / "sample.warc.gz")
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn, (size, name) in _alternate(repetitions, samples, commands(folder, folder, peers)):
        output = folder / f"{name}-{size}-{turn}"
        command = commands(folder / str(size), output, peers)[name]
        seconds[name, size].append(cpu_seconds(command, folder / "log.txt"))
        print(f"  {name:10} {size:6} records {seconds[name, size][-1]:7.1f} CPU s", flush=True)
    small, large = sorted(samples)
    for name in dict.fromkeys(name for name, _ in seconds):
        low, high = min(seconds[name, small]), min(seconds[name, large])
        slope = (high - low) / (large - small)
        fixed, ratio = low - slope * small, high / min(seconds["gristmill", large])
        print(f"{name:10} {1000 * slope:6.1f} ms a record, fixed {fixed:5.1f} s; large run / gristmill's {ratio:.2f}")


def _alternate(repetitions: int, samples, tools) -> Iterator[tuple[int, tuple[int, str]]]:
    """(turn, (size, tool)): every second turn in reverse order."""
    for turn in range(repetitions):
        order = list(product(samples, tools))
        yield from ((turn, each) for each in (order if turn % 2 == 0 else order[::-1]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1_000, help="records of the large sample")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers/bin/python"))
    parser.add_argument("--mix", choices=MIXES, action="append")
    options = parser.parse_args()
    compile_sources()
    for mix in options.mix or MIXES:
        print(f"{mix}:")
        with tempfile.TemporaryDirectory() as folder:
            measure(MIXES[mix], options.pages, options.repetitions, options.peers, Path(folder))
