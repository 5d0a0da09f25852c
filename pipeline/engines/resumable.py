"""Run a task for every item whose result is not stored yet, on any engine, and read the results in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline import storage
from pipeline.engines.concurrent_calls import Counts
from pipeline.engines.map_items import map_items
from pipeline.storage.layout import read_json, write_json


class Task(Protocol):
    """Computes one JSON value for each item; a plain value that can be pickled."""

    @property
    def counter(self) -> str:
        """The engine's counter of finished items."""

    @property
    def folder(self) -> str:
        """The folder of the results."""

    def name(self, item: Any) -> str:
        """The file name of the item's result."""

    def compute(self, item: Any) -> dict[str, Any]:
        """The item's result."""


def run_task(task: Task, items: Sequence[Any], label: str, options: Sequence[str], workers: int) -> None:
    """Run the items without a stored result, found by one listing. Raises SubmittedError if only a graph is built."""
    stored = storage.file_sizes(task.folder)
    pending = [item for item in items if task.name(item) not in stored]
    if pending:
        map_items(label, StoreResult(task), pending, nullcontext, options, workers)


def read_results(task: Task, items: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """The stored results in the order of the items, a few in memory at a time."""
    return storage.map_in_threads(lambda item: read_json(_path(task, item)), items)


@dataclass(frozen=True)
class StoreResult:
    """Compute and store a result, unless another attempt has stored it."""

    task: Task

    def __call__(self, item: Any, _resource: None) -> Counts:
        path = _path(self.task, item)
        if not storage.exists(path):
            write_json(path, self.task.compute(item))
        return {self.task.counter: 1}


def _path(task: Task, item: Any) -> str:
    return storage.join(task.folder, task.name(item))
