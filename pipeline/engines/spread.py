"""The one place where plain functions meet Beam: spread a function over a list of work, on whichever engine.

Work items are few and fat (units of WARC bytes, hash partitions, shards), so an engine's cost per element is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.errors import UserError

Item = TypeVar("Item")
Tool = TypeVar("Tool")
Counts = Mapping[str, int]  # what an item adds to the engine's counters, by their names
COUNTERS = "gristmill"  # their namespace on an engine's dashboard

# Beam's in-process runner by its name, because DirectRunner tries to download another runner first.
LOCAL_OPTIONS = ("--runner=FnApiRunner",)


class SubmittedError(UserError):
    """The job was handed to a launcher and has not run here: no failure. The same command again goes on behind it."""

    exit_code = 0


@contextmanager
def open_pipeline(options: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A Beam pipeline that has run when the block ends.

    Raises SubmittedError where the options ask for a template: then a job graph is written, and nothing has run.
    """
    parsed = PipelineOptions(list(options))  # always given, or Beam would read our own command line
    with beam.Pipeline(options=parsed) as pipeline:
        yield pipeline
    template = parsed.view_as(GoogleCloudOptions).template_location
    if template:
        raise SubmittedError(f"the job graph is {template}; once its job is done, run the same command again to go on")


class Spread(beam.PTransform, Generic[Item, Tool]):
    """`function(item, tool)` for every item, `concurrency` at a time in each Beam worker.

    What it returns goes to the engine's counters, for its own dashboards; results are files, and reports read those.
    `tool` is what a worker opens once and uses for many items (a child process with loaded models). On one machine a
    Beam worker keeps `concurrency` of them busy, however unequal the items; on a cluster it is 1, the engine spreads.
    """

    def __init__(
        self,
        function: Callable[[Item, Tool], Counts],
        tool: Callable[[], AbstractContextManager[Tool]],
        concurrency: int = 1,
    ) -> None:
        super().__init__()
        self.function, self.tool, self.concurrency = function, tool, concurrency

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """PCollection[Item] -> PCollection[Counts]."""
        # Without the reshuffle, the items would stay where they were created: on one worker.
        return items | beam.Reshuffle() | beam.ParDo(_SpreadFn(self.function, self.tool, self.concurrency))


class _SpreadFn(beam.DoFn):
    def __init__(self, function: Callable[..., Any], tool: Callable[[], Any], concurrency: int) -> None:
        self.function, self.tool, self.concurrency = function, tool, concurrency

    def setup(self) -> None:
        self.stack = ExitStack()
        self.tools: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.concurrency):
            self.tools.put(self.stack.enter_context(self.tool()))
        self.pool = self.stack.enter_context(ThreadPoolExecutor(self.concurrency))

    def start_bundle(self) -> None:
        self.pending: list[Future[Any]] = []

    def process(self, item: Any) -> None:
        self.pending.append(self.pool.submit(self._call, item))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for future in self.pending:
            counts = future.result()
            for name, count in counts.items():  # here: Beam counts nothing in threads that it has not started
                Metrics.counter(COUNTERS, name).inc(count)
            yield WindowedValue(counts, GlobalWindow().max_timestamp(), (GlobalWindow(),))
        self.pending = []

    def teardown(self) -> None:
        self.stack.close()

    def _call(self, item: Any) -> Any:
        tool = self.tools.get()
        try:
            return self.function(item, tool)
        finally:
            self.tools.put(tool)
