"""Calls in threads: order of the results, number of calls ahead, errors."""

from __future__ import annotations

from itertools import islice

import pytest

from pipeline.storage.threads import _AHEAD, in_threads, map_in_threads


def test_results_come_in_the_order_of_the_items():
    assert in_threads(lambda n: n * n, range(1000)) == [n * n for n in range(1000)]
    assert in_threads(str, []) == []


def test_only_a_few_calls_are_started_ahead_of_the_caller():
    started = []
    results = map_in_threads(started.append, range(10**9))
    assert list(islice(results, 3)) == [None] * 3
    results.close()
    assert len(started) <= _AHEAD + 3


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 // n, [1, 0, 1])


def test_calls_that_have_not_started_are_cancelled_after_an_error():
    done = []

    def work(n: int) -> None:
        if n == 3:
            raise KeyError(n)
        done.append(n)

    with pytest.raises(KeyError):
        in_threads(work, range(100_000))
    assert len(done) < 1000
