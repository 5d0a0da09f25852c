"""The paths of all files of one output. `root` is a local folder or an s3:// or gs:// address."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pipeline.storage import DamagedFileError, join, read_bytes, write_atomically


@dataclass(frozen=True, slots=True)
class Layout:
    """OUT/ for readers of the dataset, OUT/work/ for resuming; the latter is deleted once the manifest is written."""

    root: str
    key: str = ""  # fingerprint of what decides the bytes of the work files; each has a folder of its own

    @property
    def manifest(self) -> str:
        """Written last, so that an output with a manifest is complete."""
        return join(self.root, "manifest.json")

    @property
    def run(self) -> str:
        """Written first: the configuration and inputs that the folder belongs to."""
        return join(self.root, "run.json")

    @property
    def report(self) -> str:
        """The numbers of the report."""
        return join(self.root, "report.json")

    @property
    def report_html(self) -> str:
        """The report as a web page."""
        return join(self.root, "report.html")

    @property
    def card(self) -> str:
        """The dataset card."""
        return join(self.root, "README.md")

    def part(self, kind: str, number: int) -> str:
        """A published file: kind is shards, drops or sketches."""
        return join(self.root, kind, f"part-{number:05d}.parquet")

    @property
    def work(self) -> str:
        """The files that only resuming needs."""
        return join(self.root, "work", self.key)

    @property
    def unit_table(self) -> str:
        """The run's units and their sizes, for `gristmill status`."""
        return join(self.work, "units.parquet")

    def folder(self, kind: str) -> str:
        """A folder of work files: staged, drops, tally and running by unit, published by part."""
        return join(self.work, kind)

    def unit(self, kind: str, key: str) -> str:
        """A work file of one unit: kind is staged, drops, tally or running."""
        return join(self.folder(kind), key + (".json" if kind in {"tally", "running"} else ".parquet"))


def read_json(path: str) -> dict[str, Any]:
    """Raises NoSuchFileError for a missing file, DamagedFileError for one that is no JSON object."""
    try:
        return dict(json.loads(read_bytes(path)))
    except ValueError as error:
        raise DamagedFileError(f"{path}: not a JSON object ({error}); remove it and run again") from error


def write_json(path: str, values: object) -> None:
    """Writes atomically, keys in the given order."""
    with write_atomically(path) as file:
        file.write((json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
