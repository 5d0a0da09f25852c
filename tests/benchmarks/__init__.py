"""Benchmarks: figures as ratios within one run, on real pages; `make bench` runs them all."""

import os
from pathlib import Path

# Real pages, not part of the repository.
DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def data_folder() -> Path:
    """The folder of real pages; ends the benchmark with a line that says what is missing."""
    if not (DATA / "warc").is_dir():
        raise SystemExit(f"no real pages in {DATA}: set GRISTMILL_DATA to a folder with warc/*.warc.gz")
    return DATA
