"""Apply a plain function to every item of a list of work, on any engine.

All jobs of a run except deduplication are one `ParallelMap`. Work items are few and large (units of WARC bytes, parts
of the output), so the engine's cost per element does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

Item = TypeVar("Item")
Resource = TypeVar("Resource")
Counts = Mapping[str, int]  # what an item adds to the engine's counters, by counter name
COUNTERS = "gristmill"  # namespace of the counters on an engine's dashboard


class ParallelMap(beam.PTransform, Generic[Item, Resource]):
    """Call `function(item, resource)` for every item, `concurrency` calls at a time in each Beam worker.

    Each call writes its results to files and returns counts, which go to the engine's counters for its dashboard.
    `open_resource` opens what a worker keeps for many items, such as a child process with loaded models; every
    concurrent call has its own. On one machine, one Beam worker runs `concurrency` calls, so unequal items do not leave
    a core idle; on a cluster `concurrency` is 1 and the engine distributes the items.
    """

    def __init__(
        self,
        function: Callable[[Item, Resource], Counts],
        open_resource: Callable[[], AbstractContextManager[Resource]],
        concurrency: int = 1,
    ) -> None:
        super().__init__()
        self.function, self.open_resource, self.concurrency = function, open_resource, concurrency

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """PCollection[Item] -> PCollection[Counts]."""
        # Without the reshuffle, all items would stay on the worker that created them.
        call = _ParallelMapFn(self.function, self.open_resource, self.concurrency)
        return items | beam.Reshuffle() | beam.ParDo(call)


class _ParallelMapFn(beam.DoFn):
    def __init__(self, function: Callable[..., Any], open_resource: Callable[[], Any], concurrency: int) -> None:
        self.function, self.open_resource, self.concurrency = function, open_resource, concurrency

    def setup(self) -> None:
        self.stack = ExitStack()
        self.resources: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.concurrency):
            self.resources.put(self.stack.enter_context(self.open_resource()))
        self.pool = self.stack.enter_context(ThreadPoolExecutor(self.concurrency))

    def start_bundle(self) -> None:
        self.pending: list[Future[Any]] = []

    def process(self, item: Any) -> None:
        self.pending.append(self.pool.submit(self._call, item))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for future in self.pending:
            counts = future.result()
            for name, count in counts.items():
                # In this thread: Beam ignores counters of threads that it has not started.
                Metrics.counter(COUNTERS, name).inc(count)
            yield WindowedValue(counts, GlobalWindow().max_timestamp(), (GlobalWindow(),))
        self.pending = []

    def teardown(self) -> None:
        self.stack.close()

    def _call(self, item: Any) -> Any:
        resource = self.resources.get()
        try:
            return self.function(item, resource)
        finally:
            self.resources.put(resource)
