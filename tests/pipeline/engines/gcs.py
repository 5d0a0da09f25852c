"""A fake of Google Cloud Storage on the loopback: the JSON API that gcsfs and Beam use, with failures on request."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PAGE = 1000  # names in one response to a listing, as Google's
TOKEN = "/token"


@dataclass
class Store:
    """Objects by (bucket, name), and the failures of the next requests."""

    url: str = ""
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    generations: dict[tuple[str, str], int] = field(default_factory=dict)
    sessions: dict[str, tuple[str, str, bytearray, str]] = field(default_factory=dict)
    failures: list[int | str] = field(default_factory=list)  # a status, or "reset"
    trouble_every: int = 0  # one of this many requests is throttled or its connection is cut
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for Google's clients; without the second, gcsfs requests the bucket's type from Google."""
        return {"STORAGE_EMULATOR_HOST": self.url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}

    def put(self, bucket: str, name: str, content: bytes, only_if: str | None = None) -> dict[str, Any] | None:
        """The new object's description, or None if `only_if` (a generation) is not the current one."""
        with self.lock:
            key = (bucket, name)
            if only_if is not None and int(only_if) != (self.generations[key] if key in self.objects else 0):
                return None
            self.objects[key] = content
            self.generations[key] = self.generations.get(key, 0) + 1
            return self.describe(bucket, name)

    def describe(self, bucket: str, name: str) -> dict[str, Any]:
        content = self.objects[bucket, name]
        generation = self.generations[bucket, name]
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{generation}",
            "name": name,
            "bucket": bucket,
            "generation": str(generation),
            "metageneration": "1",
            "size": str(len(content)),
            "contentType": "application/octet-stream",
            "md5Hash": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            "crc32c": base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
            "timeCreated": "2026-11-21T00:00:00.000Z",
            "updated": "2026-11-21T00:00:00.000Z",
            "storageClass": "STANDARD",
        }

    def listing(self, bucket: str, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names, folders = [], set()
        for _, name in sorted(key for key in list(self.objects) if key[0] == bucket and key[1].startswith(prefix)):
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                names.append(name)
        start = int(query.get("pageToken") or 0)
        size = min(int(query.get("maxResults") or PAGE), PAGE)
        answer: dict[str, Any] = {"kind": "storage#objects"}
        answer["items"] = [self.describe(bucket, name) for name in names[start : start + size]]
        if not start:
            answer["prefixes"] = sorted(folders)
        if start + size < len(names):
            answer["nextPageToken"] = str(start + size)
        return answer


def trouble(number: int, every: int) -> int | str | None:
    """The failure of the request with this number: throttled, cut off, or none."""
    if not every or number % every:
        return None
    return "reset" if number // every % 2 else 503


def service_account(store: Store, path: Path) -> Path:
    """A key file that the store accepts: without one, Beam tries Google's metadata server for 17 seconds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "my-project",
                "private_key": private,
                "client_email": "gristmill@my-project.iam.example",
                "token_uri": store.url + TOKEN,
            }
        )
    )
    return path


@contextmanager
def serve_gcs() -> Iterator[Store]:
    store = Store()
    server = _Server(store)
    store.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: Store) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = store

    def handle_error(self, *_: object) -> None:
        """Log nothing: clients close their connections after a check."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def store(self) -> Store:
        return cast(_Server, self.server).store

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  named by http.server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        self.store.requests[self.command] += 1
        failures, so_far = self.store.failures, self.store.requests.total()
        failure = failures.pop(0) if failures else trouble(so_far, self.store.trouble_every)
        if failure == "reset":
            self.close_connection = True
            self.connection.close()
        elif isinstance(failure, int):
            self._json(failure, {"error": {"code": failure, "message": "try again"}})
        else:
            self.route(body)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def route(self, body: bytes) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        found = re.fullmatch(
            r"/(upload/|download/|resumable/)?storage/v1/b(?:/([^/]+))?(?:/o(?:/(.+))?)?", address.path
        )
        if address.path == TOKEN:
            self._json(200, {"access_token": "open sesame", "token_type": "Bearer", "expires_in": 3600})
            return
        if not found:
            self._json(404, {"error": {"code": 404, "message": address.path}})
            return
        kind, bucket, name = found[1], unquote(found[2] or ""), unquote(found[3] or "")
        if kind == "upload/":
            self._upload(bucket, query, body)
        elif self.command == "GET" and name:
            self._get(bucket, name, media=query.get("alt") == "media")
        elif self.command == "GET" and address.path.endswith("/o"):
            self._json(200, self.store.listing(bucket, query))
        elif self.command == "DELETE" and (bucket, name) in self.store.objects:
            del self.store.objects[bucket, name]
            self.send(204, b"")
        elif self.command == "GET" and bucket:
            self._json(200, {"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US"})
        else:
            self._json(404, {"error": {"code": 404, "message": "not found"}})

    def _get(self, bucket: str, name: str, media: bool) -> None:
        if (bucket, name) not in self.store.objects:
            self._json(404, {"error": {"code": 404, "message": "not found"}})
            return
        if not media:
            self._json(200, self.store.describe(bucket, name))
            return
        content = self.store.objects[bucket, name]
        ranges = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not ranges:
            self.send(200, content)
            return
        start, end = int(ranges[1]), min(int(ranges[2] or len(content)), len(content) - 1)
        if start >= len(content):
            self._json(416, {"error": {"code": 416, "message": "range"}})
        else:
            self.send(206, content[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(content)}"})

    def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> None:
        only_if = query.get("ifGenerationMatch")
        if query.get("upload_id"):
            self._continue(query["upload_id"], body)
        elif query.get("uploadType") == "resumable":
            name = query.get("name") or json.loads(body)["name"]
            session = str(len(self.store.sessions) + 1)
            self.store.sessions[session] = (bucket, name, bytearray(), only_if or "")
            where = f"{self.store.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session}"
            self.send(200, b"{}", {"Location": where})
        elif query.get("uploadType") == "multipart":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            described, _ = BytesParser().parsebytes(head + body).get_payload()
            name = query.get("name") or json.loads(described.get_payload())["name"]
            raw = body.split(b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n", 2)[2]
            boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1]
            end = raw.rindex(b"--" + boundary.encode())
            self._answer_upload(
                self.store.put(bucket, name, raw[:end].removesuffix(b"\n").removesuffix(b"\r"), only_if)
            )
        else:
            self._answer_upload(self.store.put(bucket, query["name"], body, only_if))

    def _continue(self, session: str, body: bytes) -> None:
        bucket, name, content, only_if = self.store.sessions[session]
        content += body
        total = (self.headers.get("Content-Range") or "/").rsplit("/", 1)[1]
        if total == "*":
            self.send(308, b"", {"Range": f"bytes=0-{len(content) - 1}"} if content else {})
        else:
            self._answer_upload(self.store.put(bucket, name, bytes(content), only_if or None))

    def _answer_upload(self, description: dict[str, Any] | None) -> None:
        if description is None:
            self._json(412, {"error": {"code": 412, "message": "Precondition Failed"}})
        else:
            self._json(200, description)

    def _json(self, status: int, content: object) -> None:
        self.send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
