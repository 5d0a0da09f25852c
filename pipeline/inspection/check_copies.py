"""The check that duplicates/ and drops/ tell the same of every dropped duplicate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from pipeline import storage
from pipeline.deduplication.settings import DuplicateReason
from pipeline.inspection.check import Check, Problems

_ALONE = DuplicateReason.TOO_LITTLE_LEFT  # dropped, but nobody's duplicate


class CopiesCheck:
    """Every dropped duplicate is a member of its survivor's group, and every kept document with duplicates is one.

    The members are compared as a set, by the sum of their hashes.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._members, self._sum = 0, 0

    def add_kept(self, row: Mapping[str, Any]) -> None:
        if row["duplicates"]:
            self._add(row["id"], row["id"], None)

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        if row["stage"] == "deduplicate" and row["reason"] != _ALONE:
            self._add(row["duplicate_of"], row["id"], row["reason"])

    def _add(self, survivor: str | None, member: str, reason: str | None, sign: int = 1) -> None:
        key = f"{survivor} {member} {reason}".encode()
        self._members += sign
        self._sum += sign * int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")

    def result(self) -> Check:
        rows = earlier = groups = 0
        for path in self._paths:
            with storage.read_parquet(path) as parquet:
                for batch in parquet.iter_batches(columns=["survivor", "id", "kept", "reason", "snapshot"]):
                    rows += batch.num_rows
                    groups += pc.sum(batch["kept"]).as_py() or 0
                    for member in batch.to_pylist():
                        if member["snapshot"]:
                            earlier += 1
                        else:
                            self._add(member["survivor"], member["id"], member["reason"], -1)
        differ = (
            [f"{abs(self._members):,} members too {'few' if self._members > 0 else 'many'}"] if self._members else []
        )
        differ += ["its members are not the duplicates that drops/ names"] if self._sum and not differ else []
        return Problems(differ).check(
            "copies", f"{rows:,} members of {groups:,} groups, {earlier:,} of earlier outputs"
        )
