"""Requests to remote storage, through the clients of fsspec, with retries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pipeline.effects import Effect
from pipeline.storage.errors import StorageError
from pipeline.storage.paths import address_of, is_web
from pipeline.storage.retries import retry

_Result = TypeVar("_Result")


def request(path: str, action: Callable[[Any, str], _Result]) -> _Result:
    """The result of `action(file system, path inside it)`, with retries."""
    return retry(path, partial(action, *open_filesystem(path)))


def find(path: str, action: Callable[[Any, str], _Result]) -> _Result:
    """As `request`, for an action that asks which files there are, how large, or since when."""
    return retry(path, partial(action, *open_filesystem(path)), Effect.FIND)


def open_filesystem(path: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path inside it. Imported here: 0.1 s, and most runs are local."""
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False}  # other processes write the files that are looked for
    if is_web(path):  # the stored bytes, not decompressed, through the proxies of the environment
        options["client_kwargs"] = {"auto_decompress": False, "trust_env": True}
    try:
        filesystem, inner = fsspec.core.url_to_fs(address_of(path), **options)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{path}: cannot open {path.split('://', 1)[0]}:// ({error})") from error
    return filesystem, inner
