"""A disk on which no file grows beyond some bytes: write() fails there without a file's name, as on a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.engines.failures import Failure, find_failure


@contextmanager
def limit_files(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: write() raises EFBIG then, since Python ignores SIGXFSZ."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fail_at_all_sizes(command: Callable[[], object]) -> list[Failure]:
    """What the command line says for each limit, from 0 bytes until the command succeeds."""
    failures = []
    for size in (0, *(1 << bits for bits in range(6, 40, 2))):
        try:
            with limit_files(size):
                command()
            return failures
        except Exception as error:
            failures.append(find_failure(error))
    raise AssertionError("fails without a limit, too")
