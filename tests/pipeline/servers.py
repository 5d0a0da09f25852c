"""A local web server for the tests: serves a folder, supports range requests, and fails on request."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Web:
    """The server's settings and counts.

    failures: the failures of the next requests, one each, whatever their path: an HTTP status, "reset" (closes the
        connection without a response) or "short" (sends half of the body, then closes the connection).
    ranges: whether range requests are supported.
    retry_after: the header Retry-After of refusals.
    requests, sent: number of requests by method, and bytes of all bodies sent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.failures: list[int | str] = []
        self.ranges = True
        self.retry_after = "0"
        self.requests: Counter[str] = Counter()
        self.sent = 0


@contextmanager
def serve(folder: Path) -> Iterator[Web]:
    """Serves the folder on a free port while the block runs."""
    web = Web(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            web.requests[self.command] += 1
            failure = web.failures.pop(0) if web.failures else None
            if failure == "reset":
                self.connection.close()
                return
            if isinstance(failure, int):
                self.send_response(failure)
                self.send_header("Content-Length", "0")
                self.send_header("Retry-After", web.retry_after)
                self.end_headers()
                return
            path = web.folder / unquote(self.path.split("?")[0]).lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            self._send(path.read_bytes(), body, short=failure == "short")

        def _send(self, content: bytes, body: bool, short: bool) -> None:
            requested = self.headers.get("Range") if web.ranges else None
            start, end = 0, len(content)
            if requested:
                first, last = requested.removeprefix("bytes=").split("-")
                start, end = int(first), min(int(last) + 1, len(content)) if last else len(content)
            self.send_response(206 if requested else 200)
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", '"1"')
            if web.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if requested:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            self.end_headers()
            if body:
                piece = content[start:end]
                web.sent += len(piece)
                self.wfile.write(piece[: len(piece) // 2] if short else piece)
            if short:
                self.connection.close()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
