"""The check that nothing on an output's suppression lists is in the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.deduplication.minhash import shingle_hashes
from pipeline.inspection.check import Check, Problems
from pipeline.lists.suppressions import SuppressionList
from pipeline.stages.suppress import stored_lists
from pipeline.storage.layout import Layout, read_run
from pipeline.text import tokenize


def find_lists(layout: Layout) -> list[str]:
    """The suppression lists that the run read, or that `gristmill remove` has made it honor."""
    if not storage.exists(layout.run):  # an output that was copied without it
        return []
    lists = stored_lists(read_run(layout).get("settings", {}), layout.run)
    return [path for path in lists if storage.exists(path)]


class RemovalCheck:
    """No row names a suppressed page, and no text is a copy of a suppressed one."""

    def __init__(self, removed: SuppressionList) -> None:
        self._removed = removed
        self._rows = 0
        self._empty = 0
        self._problems = Problems()

    def add_kept(self, row: Mapping[str, Any]) -> None:
        self._check_page(row)
        self._check_text(row, "text")

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        if row["stage"] == "suppress":
            self._empty += 1
            if any(row[name] for name in ("url", "host", "registered_domain", "detail", "excerpt", "text", "signals")):
                self._problems.add(f"{row['id']}: removed, but its row is not empty")
            return
        self._check_page(row)
        self._check_text(row, "excerpt")
        self._check_text(row, "text")

    def _check_page(self, row: Mapping[str, Any]) -> None:
        self._rows += 1
        places = (row["url"] or "", row["host"] or "", row["registered_domain"] or "")
        if kind := self._removed.find_page(*places, row["id"]):
            self._problems.add(f"{row['id']}: on the suppression list by its {kind}")

    def _check_text(self, row: Mapping[str, Any], column: str) -> None:
        if self._removed.texts and row[column] and self._removed.find_text(shingle_hashes(tokenize(row[column]))):
            self._problems.add(f"{row['id']}: its {column} is on the suppression list")

    def result(self) -> Check:
        entries = len(self._removed.entries)
        summary = f"no hit of {entries:,} entries in {self._rows:,} rows, {self._empty:,} removed pages have empty rows"
        return self._problems.check("removal", summary)
