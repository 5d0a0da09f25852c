"""Call a function for many files in threads: on an object store each call waits for a round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 16
_AHEAD = 4 * THREADS  # calls that are queued, running or waiting to be yielded; bounds memory for a million items

_Result = TypeVar("_Result")
_Item = TypeVar("_Item")


def map_in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Results in the order of the items. Raises the first error; calls that have not started are then cancelled."""
    started: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for item in items:
                started.append(pool.submit(function, item))
                if len(started) == _AHEAD:
                    yield started.popleft().result()
            while started:
                yield started.popleft().result()
        finally:  # after an error, or when the caller stops early
            pool.shutdown(wait=False, cancel_futures=True)


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The results of `map_in_threads` as a list."""
    return list(map_in_threads(function, items))
