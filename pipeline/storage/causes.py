"""Interpret exceptions of storage clients: HTTP status, whether the file is missing, how long to wait."""

from __future__ import annotations

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
    """Seconds of the response's Retry-After header, 0 without one."""
    headers = getattr(root_cause(error), "headers", None) or {}
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 0.0
