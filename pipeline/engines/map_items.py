"""Apply a plain function to every item of a list of work: by Beam, or in this process.

All jobs of a run except deduplication are one `map_items`. Work items are few and large (units of WARC bytes, parts of
the output), so an engine's cost per element does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from pipeline.engines.concurrent_calls import ConcurrentCalls, Counts, Item, Resource
from pipeline.engines.options import is_direct


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
