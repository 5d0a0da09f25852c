"""A real HTTP server that plays a model behind an OpenAI-compatible endpoint, and fails on request."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What a model answers: a text, or bytes that are sent as the whole body.
Play = Callable[[dict[str, Any]], str | bytes]
KEY = "secret-key-7"


class ModelServer:
    """failures: of the next requests, one each: a status, "reset" or "endless" (a body without an end)."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.url = ""
        self.models = ["played"]
        self.key: str | None = None
        self.failures: list[int | str] = []
        self.die_after: int | None = None  # requests that are answered before all connections are closed
        self.retry_after = "0"
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()


@contextmanager
def play_model(play: Play) -> Iterator[ModelServer]:
    """Serves on a free port while the block runs."""
    model = ModelServer(play)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(model))
    server.daemon_threads = True
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


def dead_url() -> str:
    """An address of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def _handler(model: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, json.dumps({"data": [{"id": name} for name in model.models]}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with model.lock:
                model.requests.append(body)
                model.times.append(time.monotonic())
                failure = model.failures.pop(0) if model.failures else None
                if model.die_after is not None and len(model.requests) > model.die_after:
                    failure = "reset"
            if failure == "reset":
                self.connection.shutdown(socket.SHUT_RDWR)
            elif failure == "endless":
                self._send_endless()
            elif isinstance(failure, int):
                self._send(failure, json.dumps({"error": {"message": f"failed \x1b[31m{failure}"}}).encode())
            elif self.path != "/v1/chat/completions":
                self._send(404, b"{}")
            elif model.key is not None and self.headers["Authorization"] != f"Bearer {model.key}":
                self._send(401, b'{"error": {"message": "wrong key"}}')
            else:
                self._send(200, _complete(model.play(body)))

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status in (301, 302):
                self.send_header("Location", "http://127.0.0.1:1/")
            if status in (429, 503):
                self.send_header("Retry-After", model.retry_after)
            self.end_headers()
            self.wfile.write(content)

        def _send_endless(self) -> None:
            self.send_response(503 if model.retry_after == "endless" else 200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _complete(answer: str | bytes) -> bytes:
    if isinstance(answer, bytes):
        return answer
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": len(answer.split()), "total_tokens": 10}
    return json.dumps({"choices": [choice], "usage": usage}).encode()
