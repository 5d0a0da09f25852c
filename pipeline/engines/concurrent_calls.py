"""Call a function for many items, several at a time, each call with a resource of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Resource = TypeVar("Resource")
Counts = Mapping[str, int]  # what an item adds to the engine's counters, by counter name


class ConcurrentCalls(Generic[Item, Resource]):
    """Calls `function(item, resource)`, `concurrency` calls at a time, each with a resource of its own.

    `open_resource` opens what is kept for many items, such as a child process with loaded models.
    """

    def __init__(
        self,
        function: Callable[[Item, Resource], Counts],
        open_resource: Callable[[], AbstractContextManager[Resource]],
        concurrency: int,
    ) -> None:
        self.function, self.open_resource, self.concurrency = function, open_resource, concurrency

    def __enter__(self) -> Self:
        self.resources: SimpleQueue[Resource] = SimpleQueue()
        with ExitStack() as stack:
            for _ in range(self.concurrency):
                self.resources.put(stack.enter_context(self.open_resource()))
            self.pool = ThreadPoolExecutor(self.concurrency)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.stack.close()

    def submit(self, item: Item) -> Future[Counts]:
        return self.pool.submit(self._call, item)

    def _call(self, item: Item) -> Counts:
        resource = self.resources.get()
        try:
            return self.function(item, resource)
        finally:
            self.resources.put(resource)
