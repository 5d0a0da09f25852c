"""The stand-in of Google's store, asked without sockets: gcsfs's requests are answered in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode, urlsplit

from tests.pipeline.engines.gcs import Handler, Store

ADDRESS = "http://127.0.0.1:9"  # nothing listens there


class _Exchange(Handler):
    """One request and its answer."""

    def __init__(self, store: Store, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self._store, self.command, self.path = store, method, path
        self.headers = Message()
        for name, value in headers.items():
            self.headers[name] = value
        self.status, self.content, self.answered = 0, b"", dict[str, str]()
        self.route(body)

    @property
    def store(self) -> Store:
        return self._store

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.status, self.content, self.answered = status, body, headers or {}


@contextmanager
def answer_gcs() -> Iterator[Store]:
    """In the block, requests of gcsfs are answered here, from an empty store."""
    store = Store(ADDRESS)
    with patch.dict(os.environ, store.environment):  # gcsfs reads one of them when it is imported
        from gcsfs.core import GCSFileSystem
        from gcsfs.retry import validate_response

    async def request(filesystem: GCSFileSystem, method: str, path: str, *args: str, **options: Any) -> Any:
        headers, data = options.pop("headers", None), options.pop("data", None)
        query = urlencode({name: value for name, value in options.items() if value is not None})
        asked = urlsplit(filesystem._format_path(path, args))
        body = data.read() if hasattr(data, "read") else bytes(data or b"")
        found = _Exchange(store, method, f"{asked.path}?{asked.query}&{query}", headers or {}, body)
        validate_response(found.status, found.content, path, args)
        return found.status, found.answered, None, found.content

    with patch.object(GCSFileSystem, "_request", request):
        yield store
