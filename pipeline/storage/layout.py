"""Where everything of one output lies. `root` is a local folder or an s3:// or gs:// address."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pipeline.storage import StorageError, join, read_bytes, write_atomically


@dataclass(frozen=True, slots=True)
class Layout:
    """OUT/ for its readers, OUT/work/ for resuming: the latter is gone once the manifest stands."""

    root: str
    key: str = ""  # fingerprint of what decides the units' bytes: work of another configuration is never mixed in

    @property
    def manifest(self) -> str:
        """Written last: whoever sees it sees a complete dataset."""
        return join(self.root, "manifest.json")

    @property
    def run(self) -> str:
        """Written first: whose folder this is (configuration and inputs)."""
        return join(self.root, "run.json")

    @property
    def report(self) -> str:
        """The numbers of the report."""
        return join(self.root, "report.json")

    @property
    def report_html(self) -> str:
        """The report for people."""
        return join(self.root, "report.html")

    @property
    def card(self) -> str:
        """Dataset card."""
        return join(self.root, "README.md")

    def part(self, kind: str, number: int) -> str:
        """`shards`, `drops` or `sketches`, part `number`."""
        return join(self.root, kind, f"part-{number:05d}.parquet")

    @property
    def work(self) -> str:
        """Everything that only resuming needs."""
        return join(self.root, "work", self.key)

    def unit(self, kind: str, key: str) -> str:
        """A finished unit's file: kind is staged, drops, tally, verdicts, running or published."""
        return join(self.work, kind, key + (".json" if kind in {"tally", "running", "published"} else ".parquet"))


def read_json(path: str) -> dict[str, Any]:
    """Raises StorageError for a missing file and for one that is damaged."""
    try:
        return dict(json.loads(read_bytes(path)))
    except ValueError as error:
        raise StorageError(f"{path}: not a JSON object ({error}); remove it and run again") from error


def write_json(path: str, values: object) -> None:
    """Whole or not at all; keys in the given order."""
    with write_atomically(path) as file:
        file.write((json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
