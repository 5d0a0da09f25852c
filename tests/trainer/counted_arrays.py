"""Arrays that count how often they are read whole: a test's measure of work that grows with a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from trainer.data.corpus import PER_DOCUMENT, Corpus

LOGARITHMIC = (np.searchsorted,)  # read a few elements of a large array


class CountedArray(np.ndarray[Any, Any]):
    """Counts operations on it or on arrays of its size derived from it; single elements and small slices are free."""

    large = 0  # elements from which on an array counts
    operations = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        _count(inputs)
        options = {name: _plain(value) for name, value in options.items()}
        return _counted(getattr(ufunc, method)(*_plain(inputs), **options))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function not in LOGARITHMIC:
            _count((*args, *options.values()))
        return _counted(function(*_plain(args), **{name: _plain(value) for name, value in options.items()}))

    def __getitem__(self, key: Any) -> Any:
        found = self.view(np.ndarray)[_plain(key)]
        _count((found, key))
        return _counted(found)

    def astype(self, *args: Any, **options: Any) -> Any:
        _count((self,))
        return _counted(self.view(np.ndarray).astype(*args, **options))

    def tobytes(self, *args: Any) -> bytes:
        _count((self,))
        return self.view(np.ndarray).tobytes(*args)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return value.view(np.ndarray) if isinstance(value, CountedArray) else value


def _counted(value: Any) -> Any:
    is_large = isinstance(value, np.ndarray) and value.size >= CountedArray.large
    return value.view(CountedArray) if is_large else value


def _count(values: Any) -> None:
    CountedArray.operations += any(isinstance(v, np.ndarray) and v.size >= CountedArray.large for v in values)


def count_corpus(corpus: Corpus) -> Corpus:
    """The corpus with counted arrays; arrays of half its size and more count."""
    CountedArray.large = len(corpus) // 2
    return replace(corpus, **{name: getattr(corpus, name).view(CountedArray) for name in PER_DOCUMENT})


@contextmanager
def counted_operations() -> Iterator[list[int]]:
    """A list that holds the number of operations when the block has ended."""
    CountedArray.operations = 0
    found: list[int] = []
    yield found
    found.append(CountedArray.operations)
