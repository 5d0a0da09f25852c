"""Interpret exceptions of storage clients: HTTP status, whether the file is missing, how long to wait."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from pipeline import effects

_CLIENTS = ("aiohttp", "botocore", "aiobotocore", "gcsfs", "google")  # modules whose exceptions are storage errors


def root_cause(error: BaseException) -> BaseException:
    """The real cause: fsspec raises FileNotFoundError for every failure of a web server."""
    while isinstance(error, FileNotFoundError) and error.__cause__ and not isinstance(error.__cause__, KeyError):
        error = error.__cause__
    return error


def is_storage_failure(error: BaseException) -> bool:
    """True for errors of the operating system and of storage clients, False for internal errors."""
    return isinstance(error, OSError) or type(error).__module__.startswith(_CLIENTS)


def http_status(error: BaseException) -> int | None:
    """The server's status, 400 and above, from the exceptions of http (status), gs (code) and s3 clients (response)."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    of_s3 = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    status = error.status if hasattr(error, "status") else getattr(error, "code", of_s3)
    return status if isinstance(status, int) and status >= 400 else None


def is_missing(error: BaseException) -> bool:
    """Whether the file does not exist."""
    error = root_cause(error)
    return isinstance(error, FileNotFoundError) or http_status(error) in (404, 410)


def retry_after(error: BaseException) -> float:
    """Seconds of the response's Retry-After header, which may be a date; 0 without one."""
    headers = getattr(root_cause(error), "headers", None) or {}
    value = str(headers.get("Retry-After", ""))
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - effects.now(), 0.0) if value else 0.0
    except (ValueError, OverflowError):
        return 0.0
