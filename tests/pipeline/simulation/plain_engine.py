"""Beam's transforms as plain loops in this process, which take a hundredth of the local runner's time.

Elements and groups come in an order of the seed's choosing, as on a cluster.
`tests/pipeline/engines` runs real engines.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import apache_beam as beam
from apache_beam.transforms.ptransform import _NamedPTransform
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.engines import concurrent_calls
from pipeline.storage import threads


@contextmanager
def plain_engine(order: random.Random) -> Iterator[None]:
    """In the block, Beam pipelines run as loops and thread pools run their calls at once, so that seeds repeat."""

    def apply(transform: Any, to: Any) -> Any:
        return _apply(transform, to, order)

    with (
        patch.object(beam, "Pipeline", lambda options: _Pipeline(apply)),
        patch.object(beam.ParDo, "__init__", _set_function),  # Beam's own inspects every method of the function
        patch.object(beam.PTransform, "__ror__", lambda transform, left: apply(transform, left)),
        patch.object(_NamedPTransform, "__ror__", lambda named, left, _label=None: apply(named.transform, left)),
        patch.object(threads, "ThreadPoolExecutor", _Inline),
        patch.object(concurrent_calls, "ThreadPoolExecutor", _Inline),
    ):
        yield


def _set_function(transform: beam.ParDo, function: beam.DoFn, *_: object, **__: object) -> None:
    transform.fn = function


class _Pipeline:
    def __init__(self, apply: Callable[[Any, Any], Any]) -> None:
        self.apply = apply

    def __enter__(self) -> _Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __or__(self, transform: Any) -> Any:
        return self.apply(_unnamed(transform), self)


class _Elements(beam.PCollection):
    def __init__(self, values: Iterable[Any], apply: Callable[[Any, Any], Any]) -> None:
        self.values, self.apply = list(values), apply

    def __or__(self, transform: Any) -> Any:
        return self.apply(_unnamed(transform), self)


def _unnamed(transform: Any) -> Any:
    return transform.transform if isinstance(transform, _NamedPTransform) else transform


def _apply(transform: Any, to: Any, order: random.Random) -> Any:
    def elements(values: Iterable[Any]) -> _Elements:
        found = list(values)
        order.shuffle(found)
        return _Elements(found, lambda each, left: _apply(each, left, order))

    if isinstance(transform, beam.Create):
        return elements(transform.values)
    if isinstance(transform, beam.Flatten):
        return elements(value for each in to for value in each.values)
    if isinstance(transform, beam.Reshuffle):
        return elements(to.values)
    if isinstance(transform, beam.GroupByKey):
        return elements(_group(to.values))
    if isinstance(transform, beam.GroupBy):
        return elements(_group((transform._key_func()(value), value) for value in to.values))
    if isinstance(transform, beam.ParDo):
        return elements(_run(transform.fn, to.values))
    return transform.expand(to)


def _group(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return list(groups.items())


def _run(function: beam.DoFn, values: Iterable[Any]) -> Iterator[Any]:
    function.setup()
    try:
        function.start_bundle()
        for value in values:
            yield from function.process(value) or ()
        yield from (each.value if isinstance(each, WindowedValue) else each for each in function.finish_bundle() or ())
    finally:
        function.teardown()


class _Inline:
    """An executor that calls at once, in the caller's thread."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def shutdown(self, **_: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]
