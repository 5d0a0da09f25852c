"""Apply a plain function to every item of a list of work: by Beam, or in this process.

All jobs of a run except deduplication are one `map_items`. Work items are few and large (units of WARC bytes, parts of
the output), so an engine's cost per element does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

from pipeline.engines.options import is_direct

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


def map_items(
    label: str,
    function: Callable[[Item, Resource], Counts],
    items: Sequence[Item],
    open_resource: Callable[[], AbstractContextManager[Resource]],
    options: Sequence[str],
    concurrency: int,
) -> None:
    """Call `function(item, resource)` for every item, on the engine of `options`.

    Each call writes its results to files. Raises what a call raises, and SubmittedError if only a graph was built.
    """
    if is_direct(options):
        with ConcurrentCalls(function, open_resource, concurrency) as calls:
            for future in [calls.submit(item) for item in items]:
                future.result()
        return
    import apache_beam as beam

    from pipeline.engines.beam_pipeline import open_pipeline
    from pipeline.engines.parallel_map import ParallelMap

    with open_pipeline(options) as pipeline:
        pipeline | "Items" >> beam.Create(items) | label >> ParallelMap(function, open_resource, concurrency)
