"""`map_items` as a Beam transform, with the counters that an engine's dashboard shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Generic

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.engines.concurrent_calls import ConcurrentCalls, Counts, Item, Resource

COUNTERS = "gristmill"  # namespace of the counters on an engine's dashboard


class ParallelMap(beam.PTransform, Generic[Item, Resource]):
    """Call `function(item, resource)` for every item, `concurrency` calls at a time in each Beam worker.

    On one machine, one Beam worker runs `concurrency` calls, so unequal items do not leave a core idle; on a cluster
    `concurrency` is 1 and the engine distributes the items.
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
        self.calls = ConcurrentCalls(self.function, self.open_resource, self.concurrency).__enter__()

    def start_bundle(self) -> None:
        self.pending: list[Future[Counts]] = []

    def process(self, item: Any) -> None:
        self.pending.append(self.calls.submit(item))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for future in self.pending:
            counts = future.result()
            for name, count in counts.items():
                # In this thread: Beam ignores counters of threads that it has not started.
                Metrics.counter(COUNTERS, name).inc(count)
            yield WindowedValue(counts, GlobalWindow().max_timestamp(), (GlobalWindow(),))
        self.pending = []

    def teardown(self) -> None:
        self.calls.__exit__()
