"""Retries: a request that failed because of a busy server or a broken connection is repeated after growing pauses."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from pipeline import effects
from pipeline.effects import Effect
from pipeline.storage.causes import http_status, retry_after, root_cause
from pipeline.storage.pace import report_refusal, take_turn
from pipeline.storage.paths import is_web, server_of

ATTEMPTS = 8  # with the pauses below a server may be unavailable for about two minutes
NAME_ATTEMPTS = 4  # for a host name that cannot be resolved, usually because it is misspelled
FIRST_PAUSE = 0.5  # seconds; doubled after each attempt, and randomized so that workers do not retry at the same time
LONGEST_PAUSE = 30.0  # seconds
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After header may demand
_BUSY = {408, 429, 500, 502, 503, 504}
BUSY_AT = {"data.commoncrawl.org": {403}}  # Common Crawl's server answers 403 to clients that send too many requests

_Result = TypeVar("_Result")


def retry(path: str, attempt: Callable[[], _Result], kind: Effect = Effect.REQUEST) -> _Result:
    """The result of `attempt()`; raises its last error when the retries are used up or would not help."""
    pause, server = FIRST_PAUSE, server_of(path) if is_web(path) else ""
    for number in count(1):
        if server:
            take_turn(server)
        try:
            return effects.perform(kind, path, attempt)
        except Exception as error:
            if number >= _attempts(path, error):
                raise
            wait = max(pause * random.uniform(0.5, 1.5), min(retry_after(error), LONGEST_WAIT))
            if server and (status := http_status(root_cause(error))):
                report_refusal(server, str(status), wait)  # the next turn is after the pause, for all processes
            else:
                effects.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("count() does not end")


def _attempts(path: str, error: BaseException) -> int:
    """The number of attempts, including the first, that are made when this error occurs."""
    import aiohttp

    error = root_cause(error)
    status = http_status(error)
    if status in _BUSY or status in BUSY_AT.get(server_of(path), ()) or getattr(error, "errno", None) == errno.EBUSY:
        return ATTEMPTS
    if status:
        return 1
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return min(ATTEMPTS, NAME_ATTEMPTS)
    broken = (ConnectionError, TimeoutError, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    return ATTEMPTS if isinstance(error, broken) else 1
