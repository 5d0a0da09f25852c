"""Call a function for many files at once: on an object store each call waits for a round trip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 16
_AHEAD = 4 * THREADS  # calls that are started before their result is needed; bounds memory for a million items

_T = TypeVar("_T")
_Item = TypeVar("_Item")


def map_in_threads(function: Callable[[_Item], _T], items: Iterable[_Item]) -> Iterator[_T]:
    """Results in the order of the items; a few calls ahead of the caller, never all of them."""
    with ThreadPoolExecutor(THREADS) as pool:
        started: deque[Future[_T]] = deque()
        for item in items:
            started.append(pool.submit(function, item))
            if len(started) == _AHEAD:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()


def in_threads(function: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
    """The results of `map_in_threads` as a list."""
    return list(map_in_threads(function, items))
