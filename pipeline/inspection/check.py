"""The interface of the checks of `gristmill audit`, and what they share: lists of problems, repeated keys, sampling."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

_SHOWN = 3  # problems in a check's line
_KEYS = 50_000_000  # keys of 8 bytes that one RepeatedKeys holds


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; the audit prints it as one line."""

    name: str
    ok: bool
    detail: str


class RowCheck(Protocol):
    """A check that receives every row of shards/ and then every row of drops/."""

    def add_kept(self, row: Mapping[str, Any]) -> None: ...
    def add_dropped(self, row: Mapping[str, Any]) -> None: ...
    def result(self) -> Check: ...


class Problems:
    """The first problems of a check, and their total number."""

    def __init__(self, problems: Iterable[str] = ()) -> None:
        self._first: list[str] = []
        self._count = 0
        for problem in problems:
            self.add(problem)

    def add(self, problem: str) -> None:
        self._count += 1
        if len(self._first) < _SHOWN:
            self._first.append(problem)

    def __bool__(self) -> bool:
        return self._count > 0

    def check(self, name: str, summary: str) -> Check:
        """The result of the check: the problems, or `summary` when there are none."""
        more = f"; {self._count - _SHOWN:,} more" if self._count > _SHOWN else ""
        return Check(name, not self, "; ".join(self._first) + more if self else summary)


class RepeatedKeys:
    """Counts 64-bit keys that occur more than once.

    If more than 50 million keys are expected, only those divisible by a stride are held; memory is at most 400 MB.
    """

    def __init__(self, expected: int) -> None:
        self._stride = stride_for(expected, _KEYS)
        self._keys = array("Q")

    def add(self, key: int) -> None:
        if key % self._stride == 0:
            self._keys.append(key)

    def count(self) -> int:
        """How many keys repeat an earlier one."""
        keys = np.sort(np.frombuffer(self._keys, np.uint64)) if self._keys else np.empty(0, np.uint64)
        return int((keys[1:] == keys[:-1]).sum())


def stride_for(expected: int, limit: int) -> int:
    """The stride of a sample: of `expected` hashes about `limit` are divisible by it; 1 takes all.

    >>> stride_for(0, 10), stride_for(10, 10), stride_for(25, 10)
    (1, 1, 3)
    """
    return max(-(-expected // limit), 1)
