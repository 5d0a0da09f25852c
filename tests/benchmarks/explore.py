"""Seconds of every view of `gristmill explore` over a run of a million pages.

The run is the curated mini-crawl with its rows repeated: other ids, URLs and values of measurements. Prints the wall
time of each address, the best of three, and of a first request.

    python -m tests.benchmarks.explore --pages 1000000
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.explore.server import Explorer, create_app
from tests.conftest import MINICRAWL, run_gristmill

PART_ROWS = 100_000
HOST = "127.0.0.1:1"
ADDRESSES = (
    "/", "/pages", "/pages?fate=filter_heuristics&sort=value", "/pages?url=garden", "/pages?host=wet.example",
    "/pages?text=river", "/pages?text=xyzzyplugh", "/pages?signal=gopher_words&low=100&sort=measurement&order=desc",
    "/page/kept/0/77", "/page/dropped/0/77", "/limits?setting=filter_heuristics.gopher.min_words",
    "/api/limit?setting=filter_heuristics.gopher.min_words&value=120",
    "/api/limit?setting=score_quality.min_score&value=0.5",
    "/mixture", "/api/mixture?unknown=30", "/groups/language", "/groups/site", "/groups/domain", "/groups/personal",
    "/clusters", "/judge", "/judge/results",
)  # fmt: skip


def repeat(source: Path, target: Path, pages: int) -> None:
    """A run whose files hold the rows of `source` again and again, with other ids and measurements."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("shards", "drops", "candidates", "sketches", "work"))
    tables = {
        kind: pq.read_table(next((source / kind).glob("*.parquet"))) for kind in ("shards", "drops", "candidates")
    }
    times = max(pages // (tables["shards"].num_rows + tables["drops"].num_rows), 1)
    each = max(PART_ROWS // (tables["shards"].num_rows + tables["drops"].num_rows), 1)
    random = np.random.default_rng(0)
    for number, first in enumerate(range(0, times, each)):
        copies = range(first, min(first + each, times))
        for kind, table in tables.items():
            path = target / kind / f"part-{number:05d}.parquet"
            path.parent.mkdir(exist_ok=True)
            parts = [change(table, copy, random) for copy in copies]
            pq.write_table(pa.concat_tables(parts), path, compression="zstd", row_group_size=20_000)
    report = json.loads((target / "report.json").read_text())
    report["pages"], report["kept"] = (times * report[name] for name in ("pages", "kept"))
    report["dropped"] = {s: {r: times * n for r, n in reasons.items()} for s, reasons in report["dropped"].items()}
    (target / "report.json").write_text(json.dumps(report))


def change(table: pa.Table, copy: int, random: np.random.Generator) -> pa.Table:
    """The rows as another copy of them."""
    ids = [f"{copy:08x}{value[8:]}" for value in table["id"].to_pylist()]
    table = table.set_column(table.schema.names.index("id"), table.schema.field("id"), [ids])
    if "signals" not in table.schema.names:
        return table
    signals = table["signals"].combine_chunks()
    factor = random.lognormal(0, 0.2, len(ids))
    values = [
        pa.array(np.asarray(signals.field(i).to_numpy(zero_copy_only=False), float) * factor, from_pandas=True)
        for i in range(signals.type.num_fields)
    ]
    mask = signals.is_null()
    changed = pa.StructArray.from_arrays(values, fields=list(signals.type), mask=mask)
    return table.set_column(table.schema.names.index("signals"), table.schema.field("signals"), changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1_000_000)
    parser.add_argument("--run", type=Path, help="a curated run to repeat; default: the mini-crawl")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.run or Path(folder) / "mini"
        if options.run is None:
            run_gristmill("curate", MINICRAWL, "--output", source)
        repeat(source, Path(folder) / "run", options.pages)
        start = time.perf_counter()
        app = create_app(Explorer(str(Path(folder) / "run")), frozenset({HOST}))
        print(f"{'open the run':<90}{time.perf_counter() - start:8.2f} s")
        client = app.test_client()
        for address in ADDRESSES:
            seconds = []
            for _ in range(3):
                start = time.perf_counter()
                status = client.get(address, headers={"Host": HOST}).status_code
                seconds.append(time.perf_counter() - start)
            print(f"{address:<90}{min(seconds):8.2f} s, first {seconds[0]:.2f} s, {status}")


if __name__ == "__main__":
    main()
